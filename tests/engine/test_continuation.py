"""Answers that go on from tokens which stand: as if those had been drawn, whatever else there is."""

import random
from typing import Any

import msgspec
import pytest
from caravan.engine.continuation import ContinuedDetokenizer
from caravan.engine.output.detokenizer import Detokenizer
from caravan.engine.outputs import FinishReason, StepTrace
from caravan.engine.params import GenerationRequest, SamplingParams

from tests.engine.constraints.test_guide import CALLS, GRAMMARS, PARENS, PERSON, WORD
from tests.engine.guided import CALL, CLOSE, OPEN, Scripted, guided, ids, thoughts
from tests.engine.harness import Harness, request
from tests.fakes import FakeContext, FakeVocab

pytestmark = pytest.mark.usefixtures("either_attention")

PROMPT = [3, 1, 4, 1, 5, 9, 2, 6] * 3
SETTINGS: list[dict[str, Any]] = [
    {},
    {"temperature": 1.0, "seed": 4},
    {"temperature": 1.3, "seed": 4, "top_k": 0, "xtc_probability": 0.5, "xtc_threshold": 0.01},
    {"temperature": 1.0, "seed": 4, "mirostat": 2, "top_k": 0, "top_p": 1.0, "min_p": 0.0},
    {"temperature": 1.0, "seed": 4, "adaptive_target": 0.4},
    {"repeat_penalty": 1.4, "repeat_last_n": 12, "dry_multiplier": 0.9, "frequency_penalty": 0.2},
    {"temperature": 1.0, "seed": 4, "presence_penalty": 0.7, "repeat_last_n": -1, "min_tokens": 9},
]


def traced(wanted: GenerationRequest, standing: list[int] | None = None) -> GenerationRequest:
    standing = standing or []
    token_ids = wanted.token_ids + tuple(standing)
    return msgspec.structs.replace(wanted, token_ids=token_ids, num_continued=len(standing), num_traced=4)


def told(harness: Harness, name: str) -> list[StepTrace]:
    return [step for output in harness.outputs if output.request_id == name for step in output.traces]


def drawn(harness: Harness, name: str) -> list[int]:
    return [step.token_id for step in told(harness, name)]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_an_answer_goes_on_from_anywhere_in_it(settings: dict[str, Any]) -> None:
    harness = Harness(FakeContext(end_weight=0.0))
    wanted = request("whole", PROMPT, max_tokens=20, **settings)
    text = harness.run([traced(wanted)])["whole", 0]
    tokens = drawn(harness, "whole")
    assert len(tokens) == 20
    parts = [
        traced(msgspec.structs.replace(wanted, id=f"from {count}"), tokens[:count]) for count in range(1, 20)
    ]
    # All of them at once, in cells for two: they wait for each other, and are preempted.
    for fresh in (Harness(FakeContext(end_weight=0.0)), Harness(FakeContext(num_cells=120, end_weight=0.0))):
        texts = fresh.run(parts)
        for count in range(1, 20):
            name = f"from {count}"
            assert drawn(fresh, name) == tokens[count:]
            assert text.endswith(texts[name, 0])
            assert fresh.reasons()[name, 0] == [FinishReason.LENGTH]
            whole = told(harness, "whole")[count:]
            assert [step.stages for step in told(fresh, name)] == [step.stages for step in whole]


def test_only_what_is_new_is_computed_where_the_draw_has_no_memory() -> None:
    harness = Harness(FakeContext(end_weight=0.0))
    harness.run([traced(request("whole", PROMPT, max_tokens=20))])
    tokens = drawn(harness, "whole")
    harness.run([traced(request("rest", PROMPT, max_tokens=20), [*tokens[:9], 7])])
    last = harness.outputs[-1]
    assert (last.request_id, last.num_cached_tokens) == ("rest", len(PROMPT) + 9)
    seeded = request("seeded", PROMPT, max_tokens=20, temperature=1.0, seed=1)
    harness.run([traced(seeded, tokens[:9])])
    # The rows of the tokens that stand are wanted, the first of which the prompt's last token gives.
    assert harness.outputs[-1].num_cached_tokens == len(PROMPT) - 1


@pytest.mark.parametrize("num_scored_rows", [1, 3, 64])
def test_rows_of_many_tokens_come_in_pieces(num_scored_rows: int) -> None:
    wanted = request("whole", PROMPT, max_tokens=90, temperature=1.0, seed=6, mirostat=1, top_k=0, min_p=0.0)
    harness = Harness(FakeContext(end_weight=0.0), num_scored_rows=num_scored_rows)
    harness.run([traced(wanted)])
    tokens = drawn(harness, "whole")
    harness.run([traced(msgspec.structs.replace(wanted, id="rest"), tokens[:80])])
    assert drawn(harness, "rest") == tokens[80:]
    assert [step.mu for step in told(harness, "rest")] == [step.mu for step in told(harness, "whole")[80:]]


def test_stop_strings_may_begin_in_what_stands() -> None:
    harness = Harness(FakeContext(end_weight=0.0))
    text = harness.run([traced(request("whole", PROMPT, max_tokens=20))])["whole", 0]
    tokens = drawn(harness, "whole")
    stop = text[6:10]
    assert text.find(stop) == 6
    for count in range(1, 10):
        name = f"from {count}"
        wanted = request(name, PROMPT, max_tokens=20, stop=[stop])
        found = harness.run([traced(wanted, tokens[:count])])[name, 0]
        assert found == text[count:6]
        assert harness.reasons()[name, 0] == [FinishReason.STOP]
    # Nothing of what was held back is told again.
    for other, count in ((text[6:9] + "?", 8), (text[18:20] + "??", 19)):
        name = other
        wanted = request(name, PROMPT, max_tokens=20, stop=[other])
        assert harness.run([traced(wanted, tokens[:count])])[name, 0] == text[count:]


def test_what_has_ended_is_not_continued() -> None:
    harness = Harness(FakeContext(end_weight=0.0))
    text = harness.run([traced(request("whole", PROMPT, max_tokens=20))])["whole", 0]
    tokens = drawn(harness, "whole")
    harness.run([traced(request("ended", PROMPT, stop=[text[3:5]]), tokens[:6])])
    assert harness.reasons()["ended", 0] == [FinishReason.CONTRADICTED]
    assert "place 4" in (harness.outputs[-1].error or "")
    # As long as no stop string counts, the text goes on.
    harness.run([traced(request("early", PROMPT, stop=[text[3:5]], min_tokens=6), tokens[:6])])
    assert drawn(harness, "early") == tokens[6:]


@pytest.mark.parametrize(
    "changes",
    [
        {"num_continued": 24},
        {"num_continued": 2, "num_traced": None},
        {"num_traced": 0},
        {"num_prompt_logprobs": 1},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    harness = Harness()
    harness.run([msgspec.structs.replace(traced(request("r", PROMPT)), **changes)])
    assert harness.reasons()["r", 0] == [FinishReason.ERROR]


@pytest.mark.parametrize("seed", range(20))
def test_any_split_of_a_text_gives_the_same_text(seed: int) -> None:
    rng = random.Random(seed)
    vocab = FakeVocab()
    tokens = [rng.randrange(256) for _ in range(40)]
    params = SamplingParams(stop=("ab", "bca", "zz?"), min_tokens=rng.choice([0, 3, 20]), stop_limit=1)
    whole = Detokenizer(vocab, params)
    pieces = []
    for count, token_id in enumerate(tokens, 1):
        pieces.append(whole.push(token_id, may_stop=count >= params.min_tokens))
        if whole.stopped:
            break
    pieces.append(whole.finish())
    text, known = "".join(pieces), tokens[: len(pieces) - 1]
    for split in range(1, len(known)):
        rest = ContinuedDetokenizer(known[:split], vocab, params)
        news = [
            rest.push(token_id, may_stop=count >= params.min_tokens)
            for count, token_id in enumerate(known[split:], split + 1)
        ]
        # Each token is a character.
        assert "".join(news) + rest.finish() == text[split:]
        assert rest.stopped == whole.stopped


GUIDED: dict[str, tuple[Scripted, GenerationRequest]] = {
    "a constraint": (Scripted("abab! and"), guided(WORD)),
    "one that forces": (Scripted('{"name":"ab"}'), guided(GRAMMARS.from_schema(PERSON))),
    "a marker": (Scripted("some <t", "<tool>(all) more"), guided(PARENS)),
    "calls": (Scripted("x", CALL, "all; y"), guided(CALLS)),
    "a thought": (Scripted("hm", CLOSE, "  ab", "ab! more"), guided(WORD, thoughts())),
    "a thought that is cut short": (Scripted("hmm hmm hmm the", "ab!"), guided(WORD, thoughts(budget=4))),
    "a thought that begins": (Scripted(OPEN, "h", CLOSE, "ab!"), guided(WORD, thoughts(is_open=False))),
    "thought alone": (Scripted("hmm", CLOSE, "the", "end"), guided(None, thoughts(budget=2))),
    "sampled": (Scripted("abab! and"), guided(WORD, temperature=400.0, top_k=0, min_p=0.0, seed=3)),
}


@pytest.mark.parametrize("name", GUIDED)
def test_constraints_and_thoughts_go_on_from_anywhere(name: str) -> None:
    script, wanted = GUIDED[name]
    harness = Scripted(num_sampling_threads=2)
    harness.context.script = script.context.script  # type: ignore[attr-defined]
    text = harness.run([traced(wanted)])["r", 0]
    plain = Scripted()
    plain.context.script = script.context.script  # type: ignore[attr-defined]
    assert plain.run([wanted])["r", 0] == text
    tokens, steps = drawn(harness, "r"), told(harness, "r")
    assert len(tokens) > 2
    for count in range(1, len(tokens)):
        part = traced(msgspec.structs.replace(wanted, id=f"from {count}"), tokens[:count])
        rest = harness.run([part])[part.id, 0]
        assert drawn(harness, part.id) == tokens[count:]
        assert [step.is_forced for step in told(harness, part.id)] == [s.is_forced for s in steps[count:]]
        assert text.endswith(rest)
        assert harness.reasons()[part.id, 0] == harness.reasons()["r", 0]


@pytest.mark.parametrize("settings", [{}, {"temperature": 1.0, "seed": 1}], ids=str)
def test_what_a_constraint_does_not_allow_is_not_continued(settings: dict[str, Any]) -> None:
    for standing in (ids("ab1"), ids("ab!"), ids("1")):
        harness = Scripted("abab!")
        harness.run([traced(guided(WORD, **settings), standing)])
        assert harness.reasons()["r", 0] == [FinishReason.CONTRADICTED]
