"""Requests with different sets of adapters among each other: nothing of one gets into another."""

import random

import msgspec
import pytest
from caravan.engine.kv.scopes import adapters_of, scope_of
from caravan.engine.outputs import FinishReason
from caravan.engine.params import AdapterSet, GenerationRequest

from tests.engine.harness import Harness, request
from tests.fakes import FakeContext

ADAPTERS: dict[str, tuple[int, ...]] = {"one": (), "two": ()}
SETS: tuple[AdapterSet, ...] = ((), (("one", 1.0),), (("one", 0.5),), (("one", 1.0), ("two", 2.0)))
PROMPT = [random.Random(1).randrange(256) for _ in range(40)]

pytestmark = pytest.mark.usefixtures("either_attention")


def asked(
    name: str, lora: AdapterSet, *, owner: str = "", prompt: list[int] = PROMPT, max_tokens: int = 12
) -> GenerationRequest:
    made = request(name, prompt, temperature=0, max_tokens=max_tokens, ignore_eos=True)
    return GenerationRequest(id=made.id, token_ids=made.token_ids, params=made.params, lora=lora, owner=owner)


def alone(lora: AdapterSet) -> str:
    (text,) = Harness(FakeContext(adapters=ADAPTERS)).run([asked("alone", lora)]).values()
    return text


@pytest.mark.parametrize("num_cells", [4096, 150])
def test_texts_are_those_of_each_set_alone(num_cells: int) -> None:
    """With and without room for all of them, with the same prompt again and again."""
    expected = {lora: alone(lora) for lora in SETS}
    assert len(set(expected.values())) == len(SETS)
    harness = Harness(FakeContext(num_cells=num_cells, adapters=ADAPTERS), context_size=100)
    for round_ in range(3):
        named = {f"{round_}-{index}-{place}": lora for index, lora in enumerate(SETS) for place in range(2)}
        harness.run([asked(name, lora) for name, lora in named.items()])
        for name, lora in named.items():
            assert harness.texts()[name, 0] == expected[lora], name


def test_a_prefix_is_shared_within_its_set_alone() -> None:
    harness = Harness(FakeContext(adapters=ADAPTERS))
    for index, lora in enumerate((*SETS, *SETS)):
        harness.run([asked(str(index), lora)])
        cached = max(o.num_cached_tokens for o in harness.outputs if o.request_id == str(index))
        assert (cached > 0) == (index >= len(SETS))
    scopes = {scope_of(asked("x", lora)) for lora in SETS}
    assert len(scopes) == len(SETS)
    assert scope_of(asked("x", ())).name == ""


def test_owners_have_steps_alike_however_many_sets_they_use() -> None:
    """One owner with three sets of its own, and one with one: of the steps, half are of the latter's."""
    harness = Harness(FakeContext(adapters=ADAPTERS))
    for index, lora in enumerate(SETS[1:]):
        harness.engine.submit(asked(f"many {index}", lora, owner="many"))
    harness.engine.submit(asked("few", (), owner="few"))
    harness.context.sets.clear()
    for _ in range(13):
        harness.engine.turn()
    taken = [lora == () for lora in harness.context.sets]
    assert 5 <= sum(taken) <= 8
    assert len(set(harness.context.sets)) == len(SETS)
    harness.finish()


def test_who_waits_is_not_passed_by_those_that_come() -> None:
    """A stream has its steps while in each step a request of one token comes, with a set of its own."""
    harness = Harness(FakeContext(adapters=ADAPTERS))
    harness.engine.submit(asked("stream", SETS[1]))
    harness.engine.turn()
    harness.context.sets.clear()
    for index in range(12):
        harness.engine.submit(asked(f"new {index}", (("two", 1.0 + index),), max_tokens=1))
        harness.engine.turn()
    assert harness.context.sets.count(SETS[1]) >= 3
    harness.finish()


def test_streams_and_prompts_of_every_set_have_steps() -> None:
    """Also where attention has tiles, so that the two of one set take turns: both sets have both."""
    harness = Harness(FakeContext(adapters=ADAPTERS, end_weight=0.0), context_size=2000)
    for index, lora in enumerate(SETS[1:3]):
        harness.engine.submit(asked(f"stream {index}", lora, max_tokens=100))
        harness.engine.submit(asked(f"prompt {index}", lora, prompt=[7] * 1500))
    for _ in range(10):
        harness.engine.turn()
    before = progress(harness)
    assert len(before) == 4
    for _ in range(8):
        harness.engine.turn()
    assert all(count > before[name] for name, count in progress(harness).items())
    harness.finish()


def progress(harness: Harness) -> dict[str, int]:
    return {s.request.id: s.num_computed_tokens for s in harness.engine._scheduler.running}


def test_one_set_alone_never_waits_for_a_turn() -> None:
    harness = Harness(FakeContext(adapters=ADAPTERS))
    harness.run([asked(str(index), SETS[1], prompt=PROMPT[index:]) for index in range(4)])
    assert set(harness.context.sets) == {SETS[1]}


def test_an_adapter_that_is_not_there_is_refused() -> None:
    harness = Harness(FakeContext(adapters=ADAPTERS))
    harness.run([asked("lost", (("three", 1.0),)), asked("found", SETS[1])])
    assert harness.reasons()["lost", 0] == [FinishReason.ERROR]
    assert harness.texts()["found", 0] == alone(SETS[1])


def test_nothing_is_told_of_a_prompt_that_another_adapter_of_that_name_has_computed() -> None:
    """Not even how likely its tokens were, which is known apart from the cells."""
    harness = Harness(FakeContext(adapters=ADAPTERS))

    def num_rows_of(name: str, lora: AdapterSet) -> int:
        before = harness.context.num_rows
        harness.run([msgspec.structs.replace(asked(name, lora, max_tokens=1), num_prompt_logprobs=0)])
        return harness.context.num_rows - before

    first = {lora: num_rows_of(f"first {lora}", lora) for lora in SETS}
    assert set(first.values()) == {len(PROMPT)}
    assert {num_rows_of(f"again {lora}", lora) for lora in SETS} == {1}
    is_forgotten = harness.engine.forget(
        lambda scope: "one" in adapters_of(scope), uses=lambda lora: "one" in dict(lora)
    )
    assert is_forgotten
    anew = {lora: num_rows_of(f"anew {lora}", lora) for lora in SETS}
    assert anew == {lora: len(PROMPT) if "one" in dict(lora) else 1 for lora in SETS}
