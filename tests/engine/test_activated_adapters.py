"""Adapters that begin to compute with a run of tokens: what comes before is the model's own, and shared."""

import itertools
import random

import msgspec
import numpy as np
import pytest
from caravan.engine.activation import stages_of
from caravan.engine.kv.scopes import adapters_of
from caravan.engine.params import AdapterSet, GenerationRequest
from caravan.llama.batch import Batch

from tests.engine.harness import Harness, request
from tests.fakes import END_OF_GENERATION, FakeContext, FakeVocab

CALL = (7, 8, 9)
ADAPTERS: dict[str, tuple[int, ...]] = {"called": CALL, "other": (3, 4), "whole": ()}
CALLED, OTHER, WHOLE = ("called", 1.0), ("other", 1.0), ("whole", 1.0)
STEM = [10 + random.Random(1).randrange(240) for _ in range(40)]
TAIL = [10 + random.Random(2).randrange(240) for _ in range(12)]
PROMPT = [*STEM, *CALL, *TAIL]
LENGTH = 10

pytestmark = pytest.mark.usefixtures("either_attention")


@pytest.mark.parametrize(
    ("lora", "prompt", "stages"),
    [
        ((), PROMPT, ((0, ()),)),
        ((WHOLE,), PROMPT, ((0, (WHOLE,)),)),
        ((CALLED,), PROMPT, ((0, ()), (40, (CALLED,)))),
        ((CALLED,), STEM, ((0, ()),)),
        ((CALLED,), [*CALL, *STEM], ((0, (CALLED,)),)),
        ((CALLED,), [*PROMPT, *CALL], ((0, ()), (55, (CALLED,)))),
        ((CALLED,), [*STEM, *CALL[:2]], ((0, ()),)),
        ((CALLED,), [7, 7, *CALL], ((0, ()), (2, (CALLED,)))),
        ((CALLED, WHOLE), PROMPT, ((0, (WHOLE,)), (40, (CALLED, WHOLE)))),
        ((CALLED, OTHER), [3, 4, *PROMPT], ((0, (OTHER,)), (42, (CALLED, OTHER)))),
        ((CALLED, OTHER), [1, 3, 4, *PROMPT], ((0, ()), (1, (OTHER,)), (43, (CALLED, OTHER)))),
    ],
)
def test_the_last_invocation_counts(
    lora: AdapterSet, prompt: list[int], stages: tuple[tuple[int, AdapterSet], ...]
) -> None:
    assert stages_of(lora, ADAPTERS, tuple(prompt)) == stages


def asked(name: str, lora: AdapterSet, prompt: list[int], salt: str = "") -> GenerationRequest:
    made = request(name, prompt, temperature=0, max_tokens=LENGTH, ignore_eos=True)
    return msgspec.structs.replace(made, lora=lora, cache_salt=salt)


def by_hand(lora: AdapterSet, prompt: list[int]) -> str:
    """Decode one token a step, and change the adapters where they begin."""
    context, tokens = FakeContext(adapters=ADAPTERS), list(prompt)
    starts = dict(stages_of(lora, ADAPTERS, tuple(prompt)))
    for position in itertools.count():
        context.use_adapters(starts.get(position, context.lora))
        batch = Batch(1)
        batch.add(0, position, [tokens[position]], wants_logits=True)
        context.decode(batch)
        if position >= len(prompt) - 1:
            tokens.append(int(np.argmax(context.logits()[0][:END_OF_GENERATION])))
        if len(tokens) == len(prompt) + LENGTH:
            break
    return b"".join(map(FakeVocab().token_bytes, tokens[len(prompt) :])).decode()


@pytest.mark.parametrize("num_cells", [4096, 160])
def test_texts_are_those_by_hand(num_cells: int) -> None:
    """With all kinds of sets at once on prompts that begin alike, with and without room for them."""
    prompts = [PROMPT, STEM, [*PROMPT, *CALL, 5], [*CALL, *STEM], [*STEM, 3, 4, *CALL, *TAIL]]
    sets: list[AdapterSet] = [(), (CALLED,), (OTHER,), (WHOLE,), (CALLED, OTHER), (CALLED, OTHER, WHOLE)]
    wanted = list(itertools.product(range(len(prompts)), sets))
    random.Random(num_cells).shuffle(wanted)
    harness = Harness(FakeContext(num_cells=num_cells, adapters=ADAPTERS), context_size=120)
    for round_ in range(2):
        texts = harness.run([asked(f"{round_}-{i}", lora, prompts[p]) for i, (p, lora) in enumerate(wanted)])
        for i, (p, lora) in enumerate(wanted):
            assert texts[f"{round_}-{i}", 0] == by_hand(lora, prompts[p]), (round_, p, lora)


def test_what_comes_before_the_invocation_is_computed_once_for_all() -> None:
    harness = Harness(FakeContext(adapters=ADAPTERS))
    harness.run([asked("plain", (), PROMPT)])
    for index, prompt in enumerate((PROMPT, [*STEM, *CALL, 1, 2])):
        harness.run([asked(f"called {index}", (CALLED,), prompt)])
        assert harness.cached_tokens(f"called {index}") == (len(STEM), len(STEM) + len(CALL))[index]
    harness.run([asked("plain again", (), [*STEM, 1, 2, 3])])
    assert harness.cached_tokens("plain again") == len(STEM)
    harness.run([asked("never called", (CALLED,), [*STEM, 1, 2, 3, 4])])
    assert harness.cached_tokens("never called") == len(STEM) + 3


def test_those_that_wait_together_compute_it_once() -> None:
    harness = Harness(FakeContext(adapters=ADAPTERS), batch_size=64)
    sets: list[AdapterSet] = [(), (CALLED,), (("called", 0.5),)]
    before = harness.context.num_decoded
    harness.run([asked(str(index), lora, PROMPT) for index, lora in enumerate(sets)])
    computed = harness.context.num_decoded - before
    assert computed == len(STEM) + len(sets) * (len(PROMPT) - len(STEM) + LENGTH - 1)


def test_nothing_is_shared_between_keys() -> None:
    harness = Harness(FakeContext(adapters=ADAPTERS))
    for salt in ("one", "two"):
        harness.run([asked(f"plain {salt}", (), PROMPT, salt)])
        harness.run([asked(f"called {salt}", (CALLED,), PROMPT, salt)])
        assert harness.cached_tokens(f"plain {salt}") == 0
        assert harness.cached_tokens(f"called {salt}") == len(STEM)


def test_log_probabilities_of_a_prompt_are_those_of_its_own_adapters() -> None:
    """The first of two invocations begins nothing, so a longer prompt has others for the same tokens."""
    longer = [*PROMPT, *CALL, *TAIL]

    def scores(harness: Harness, name: str, lora: AdapterSet, prompt: list[int]) -> list[float]:
        made = msgspec.structs.replace(asked(name, lora, prompt), num_prompt_logprobs=0)
        harness.run([made])
        found = [entry for o in harness.outputs if o.request_id == name for entry in o.prompt_logprobs]
        return [entry.logprob for entry in found if entry is not None]

    harness = Harness(FakeContext(adapters=ADAPTERS))
    for index, (lora, prompt) in enumerate([((CALLED,), PROMPT), ((CALLED,), longer), ((), longer)]):
        alone = scores(Harness(FakeContext(adapters=ADAPTERS)), "alone", lora, prompt)
        assert len(alone) >= len(prompt) - 1
        assert scores(harness, str(index), lora, prompt) == alone


def test_what_it_computed_is_forgotten_with_it_and_no_more() -> None:
    harness = Harness(FakeContext(adapters=ADAPTERS))
    harness.run([asked("plain", (), PROMPT), asked("called", (CALLED,), PROMPT)])
    assert harness.engine.forget(
        lambda scope: "called" in adapters_of(scope), uses=lambda lora: "called" in dict(lora)
    )
    harness.run([asked("called again", (CALLED,), PROMPT)])
    assert harness.cached_tokens("called again") == len(STEM)


def test_an_adapter_is_in_use_before_its_invocation_too() -> None:
    harness = Harness(FakeContext(adapters=ADAPTERS), batch_size=8)
    harness.engine.submit(asked("called", (CALLED,), PROMPT))
    harness.engine.turn()
    assert harness.context.lora == ()
    assert not harness.engine.forget(lambda _: True, uses=lambda lora: "called" in dict(lora))
    harness.finish()


@pytest.mark.parametrize("num_drawn", range(1, 7))
def test_one_that_goes_on_elsewhere_begins_with_its_invocation_too(num_drawn: int) -> None:
    """Few of its tokens are missing then, and an adapter begins among them."""
    prompt = [*STEM, *CALL]
    whole = by_hand((CALLED,), prompt)
    drawn = Harness(FakeContext(adapters=ADAPTERS))
    drawn.run([msgspec.structs.replace(asked("whole", (CALLED,), prompt), tells_token_ids=True)])
    tokens = tuple(token for o in drawn.outputs for token in o.token_ids)[:num_drawn]
    harness = Harness(FakeContext(adapters=ADAPTERS))
    harness.run([asked("plain", (), STEM)])
    rest = msgspec.structs.replace(asked("rest", (CALLED,), prompt), drawn=(tokens,))
    assert harness.run([rest])["rest", 0] == whole[num_drawn:]
    assert harness.run([asked("again", (CALLED,), prompt)])["again", 0] == whole
