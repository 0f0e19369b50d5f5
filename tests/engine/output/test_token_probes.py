"""Probes of tokens: right whatever is in memory, in bounded rows, and with the prefix computed once."""

import math
import random

import msgspec
import numpy as np
import pytest
from caravan.engine.outputs import FinishReason
from caravan.engine.params import GenerationRequest

from tests.engine.harness import Harness, mixed_requests, request
from tests.fakes import VOCAB_SIZE, FakeContext

pytestmark = pytest.mark.usefixtures("either_attention")

STEM = [3, 1, 4, 1, 5, 9, 2, 6] * 6


def probing(name: str, token_ids: list[int], *probes: tuple[int, ...]) -> GenerationRequest:
    return msgspec.structs.replace(request(name, token_ids, max_tokens=0), probes=probes)


def expected(wanted: GenerationRequest) -> list[tuple[int, float]]:
    """The tokens and their log probabilities, from the rows of a context of its own."""
    found = []
    first = len(wanted.token_ids) - len(wanted.probes)
    for place, asked in enumerate(wanted.probes, first):
        row = FakeContext()._row(list(wanted.token_ids[: place + 1])).astype(np.float64)
        logprobs = row - row.max() - np.log(np.exp(row - row.max()).sum())
        found += [(token_id, float(logprobs[token_id])) for token_id in asked]
    return found


def check(harness: Harness, wanted: GenerationRequest) -> None:
    outputs = [output for output in harness.outputs if output.request_id == wanted.id]
    entries = [entry for output in outputs for entry in output.prompt_logprobs]
    assert [output.finish_reason for output in outputs if not output.is_slice] == [FinishReason.LENGTH]
    assert len(entries) == wanted.num_scores
    right = expected(wanted)
    assert [entry.token_id for entry in entries] == [token_id for token_id, _ in right]
    assert [entry.logprob for entry in entries] == pytest.approx([number for _, number in right], abs=1e-5)


@pytest.mark.parametrize("count", [1, 2, 3, 48])
def test_each_place_tells_its_tokens(count: int) -> None:
    wanted = probing("a", STEM, *[(place % 7, 8) for place in range(count)])
    harness = Harness()
    harness.run([wanted])
    check(harness, wanted)


def test_a_place_may_ask_for_the_whole_vocabulary() -> None:
    everything = tuple(range(VOCAB_SIZE))
    wanted = probing("a", STEM, *[everything] * 5)
    harness = Harness()
    harness.run([wanted])
    check(harness, wanted)
    total = sum(math.exp(entry.logprob) for output in harness.outputs for entry in output.prompt_logprobs)
    assert total == pytest.approx(5)


def test_branches_that_come_together_compute_their_stem_once() -> None:
    wanted = [probing(str(token_id), [*STEM, token_id], (7, 8)) for token_id in range(1, 7)]
    wanted.append(probing("stem", [*STEM, 9, 9], (1, 2, 3), (9,), (0,)))
    harness = Harness()
    harness.run(wanted)
    for each in wanted:
        check(harness, each)
    cached = [output.num_cached_tokens for output in harness.outputs if output.finish_reason]
    # What is left of a stem is computed sooner than waited for, if it is short.
    assert sorted(cached)[2:] == [len(STEM)] * 5


def test_branches_leave_their_stem_alone_behind() -> None:
    harness = Harness()
    harness.run([probing(str(token_id), [*STEM, token_id], (7, 8)) for token_id in range(60)])
    stats = harness.engine.stats()
    assert stats.num_idle_sequences <= 2
    assert len(STEM) <= stats.num_cells_used <= len(STEM) + 2
    again = probing("again", [*STEM, 99], (7,))
    harness.run([again])
    check(harness, again)
    assert harness.outputs[-1].num_cached_tokens == len(STEM)


def test_nothing_else_changes_them() -> None:
    rng = random.Random(5)
    wanted = [
        probing(
            f"p{index}", [*STEM[: rng.randrange(4, 40)], *(rng.randrange(20) for _ in range(4))], (1, 2), (3,)
        )
        for index in range(20)
    ]
    harness = Harness(FakeContext(num_cells=256), max_running=4, num_scored_rows=3)
    harness.run([*mixed_requests(6, 6), *wanted])
    harness.run([msgspec.structs.replace(each, id=f"again {each.id}") for each in wanted])
    for each in wanted:
        check(harness, each)
        check(harness, msgspec.structs.replace(each, id=f"again {each.id}"))


@pytest.mark.parametrize(
    "wrong",
    [
        probing("a", [1, 2], (1,), (1,), (1,)),
        probing("a", [1, 2], (VOCAB_SIZE,)),
        probing("a", [1, 2], (-1,)),
        msgspec.structs.replace(request("a", [1, 2], max_tokens=3), probes=((1,),)),
    ],
)
def test_what_cannot_be_is_refused(wrong: GenerationRequest) -> None:
    harness = Harness()
    harness.run([wrong])
    assert [output.finish_reason for output in harness.outputs] == [FinishReason.ERROR]
