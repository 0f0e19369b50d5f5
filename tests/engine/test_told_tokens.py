"""Token ids of an answer: every token once, in order, drawn or forced, its text out or cut off."""

import random

import msgspec
import pytest
from caravan.engine.params import GenerationRequest

from tests.engine.constraints.test_guide import GRAMMARS, PERSON
from tests.engine.guided import MarkerVocab, Scripted, guided, thoughts
from tests.engine.harness import Harness, request
from tests.fakes import END_OF_GENERATION, FakeContext

pytestmark = pytest.mark.usefixtures("either_attention")


def telling(wanted: GenerationRequest) -> GenerationRequest:
    return msgspec.structs.replace(wanted, tells_token_ids=True)


def told(harness: Harness) -> dict[tuple[str, int], list[int]]:
    found: dict[tuple[str, int], list[int]] = {}
    for output in harness.outputs:
        found.setdefault((output.request_id, output.index), []).extend(output.token_ids)
    return found


def test_they_are_as_many_as_are_counted_whatever_ends_the_text() -> None:
    harness = Harness(FakeContext(end_weight=0.0))
    whole = harness.run([telling(request("r", [1, 2, 3], max_tokens=12))])["r", 0]
    assert [chr(97 + token_id % 26) for token_id in told(harness)["r", 0]] == list(whole)

    stopped = Harness(FakeContext(end_weight=0.0))
    text = stopped.run([telling(request("r", [1, 2, 3], max_tokens=12, stop=[whole[4:7]]))])["r", 0]
    assert text == whole[:4]
    assert told(stopped)["r", 0] == told(harness)["r", 0][:7]

    ended = Harness()
    bias = [(END_OF_GENERATION, 100.0)]
    assert ended.run([telling(request("r", [1, 2, 3], logit_bias=bias, min_tokens=2))])["r", 0] is not None
    assert told(ended)["r", 0][-1] == END_OF_GENERATION
    assert len(told(ended)["r", 0]) == ended.outputs[-1].num_completion_tokens == 3


def test_they_are_the_same_when_sequences_are_preempted_and_batched() -> None:
    rng = random.Random(5)
    requests = [
        telling(request(f"r{i}", [rng.randrange(256) for _ in range(30)], n=2, max_tokens=25))
        for i in range(6)
    ]
    narrow, wide = Harness(FakeContext(num_cells=150)), Harness()
    for harness in (narrow, wide):
        harness.run(requests)
    assert narrow.engine.stats().num_preemptions > 0
    assert told(narrow) == told(wide)
    assert all(told(wide).values())


def test_forced_tokens_are_told() -> None:
    engine = Scripted("11", '{"name":"ab"}')
    engine.answer(telling(guided(GRAMMARS.from_schema(PERSON), thoughts(budget=2))))
    token_ids = [token_id for output in engine.outputs for token_id in output.token_ids]
    assert b"".join(map(MarkerVocab().raw_bytes, token_ids)) == b'11</think>{"name":"ab"}'


def test_nobody_pays_who_does_not_ask() -> None:
    harness = Harness()
    harness.run([request("r", [1, 2, 3])])
    assert all(output.token_ids == () for output in harness.outputs)
