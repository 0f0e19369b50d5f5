"""A client whose engine changes in the middle of its answer gets the answer of one, and nothing twice."""

import itertools
from typing import Any

import msgspec
import pytest
from caravan.engine.outputs import TokenOutput
from caravan.engine.params import GenerationRequest
from caravan.ray_serve.handover import Handover

from tests.engine.harness import Harness, request
from tests.engine.test_continuation import PROMPT, SETTINGS
from tests.fakes import FakeContext


def outputs_of(wanted: GenerationRequest) -> list[TokenOutput]:
    harness = Harness(FakeContext(end_weight=0.0))
    harness.run([wanted])
    return harness.outputs


def joined(outputs: list[TokenOutput], index: int) -> dict[str, Any]:
    """All that a client has learnt of a choice."""
    mine = [output for output in outputs if output.index == index]
    last = mine[-1]
    chained = itertools.chain.from_iterable
    return {
        "text": "".join(output.text for output in mine),
        "token_ids": list(chained(output.token_ids for output in mine)),
        "logprobs": list(chained(output.logprobs for output in mine)),
        "prompt_logprobs": [output.prompt_logprobs for output in mine if output.prompt_logprobs],
        "traces": list(chained(output.traces for output in mine)),
        "ends": [(output.finish_reason, output.stop_string) for output in mine if output.finish_reason],
        "counts": (last.num_completion_tokens, last.num_cached_tokens, last.num_reasoning_tokens),
        "sum": last.sum_logprob,
        "mu": last.mirostat_mu,
        "queued": sum(output.queue_seconds is not None for output in mine),
    }


def told(wanted: GenerationRequest, num_outputs: int) -> tuple[list[TokenOutput], GenerationRequest]:
    """What a client gets whose first engine dies after so many outputs, and what the second was asked."""
    handover = Handover(wanted)
    first = outputs_of(handover.request)[:num_outputs]
    taken = [handover.take(output) for output in first]
    handover.hand_over()
    rest = outputs_of(handover.request) if handover.request.indexes else []
    taken += [handover.take(output) for output in rest]
    return [output for output in taken if output is not None], handover.request


KINDS: list[dict[str, Any]] = [
    {},
    {"tells_token_ids": True},
    {"n": 3, "tells_token_ids": True},
    {"num_prompt_logprobs": 2},
    {"num_traced": 2, "tells_token_ids": True},
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("settings", [*SETTINGS, {"num_logprobs": 2, "score": True}], ids=str)
def test_nothing_is_lost_and_nothing_told_twice(settings: dict[str, Any], kind: dict[str, Any]) -> None:
    params = {"stop": ["zq", "qz?"], "max_tokens": 12, **settings}
    wanted = msgspec.structs.replace(request("r", PROMPT[:8], **params), **kind)
    if wanted.params.seed is None:
        seeded = msgspec.structs.replace(wanted.params, seed=7)
        wanted = msgspec.structs.replace(wanted, params=seeded)
    whole = outputs_of(wanted)
    for count in range(0, len(whole) + 1, 3):
        found, _ = told(wanted, count)
        for index in range(wanted.n):
            assert joined(found, index) == joined(whole, index)


def test_an_answer_without_a_seed_gets_one_that_stays() -> None:
    wanted = request("r", PROMPT, temperature=1.0)
    handover = Handover(wanted)
    seed = handover.request.params.seed
    handover.hand_over()
    assert seed is not None
    assert handover.request.params.seed == seed


def test_tokens_that_are_told_are_not_drawn_again() -> None:
    _, second = told(request("r", PROMPT), 5)
    assert [len(token_ids or ()) for token_ids in second.drawn] == [5]
    _, anew = told(request("r", PROMPT, num_logprobs=1), 5)
    assert anew.drawn == ()


def test_what_an_answer_may_take_goes_on_to_run_out() -> None:
    handover = Handover(request("r", PROMPT, max_seconds=1e-3))
    handover.hand_over()
    assert handover.request.params.max_seconds == pytest.approx(1e-3)
    handover = Handover(request("r", PROMPT, max_seconds=50.0))
    handover.hand_over()
    assert 0 < (handover.request.params.max_seconds or 0) < 50
