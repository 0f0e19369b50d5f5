"""Requests that another engine has begun: what both tell together is what one engine tells alone."""

import random
from typing import Any

import msgspec
import pytest
from caravan.engine.outputs import FinishReason, TokenOutput
from caravan.engine.params import GenerationRequest

from tests.engine.guided import Scripted
from tests.engine.harness import Harness, mixed_requests, request
from tests.engine.test_continuation import GUIDED, PROMPT, SETTINGS
from tests.fakes import FakeContext

pytestmark = pytest.mark.usefixtures("either_attention")


def telling(wanted: GenerationRequest) -> GenerationRequest:
    return msgspec.structs.replace(wanted, tells_token_ids=True)


def of_choice(outputs: list[TokenOutput], name: str, index: int) -> list[TokenOutput]:
    return [output for output in outputs if (output.request_id, output.index) == (name, index)]


def tokens_of(outputs: list[TokenOutput]) -> tuple[int, ...]:
    return tuple(token_id for output in outputs for token_id in output.token_ids)


def text_of(outputs: list[TokenOutput]) -> str:
    return "".join(output.text for output in outputs)


def ending_of(outputs: list[TokenOutput]) -> tuple[object, ...]:
    last = outputs[-1]
    return last.finish_reason, last.stop_string, last.num_completion_tokens, last.num_reasoning_tokens


def begun(wanted: GenerationRequest, whole: list[TokenOutput], num_told: list[int]) -> GenerationRequest:
    """The request after so many outputs of each choice have been told."""
    drawn: list[tuple[int, ...] | None] = []
    for index, count in enumerate(num_told):
        told = of_choice(whole, wanted.id, index)[:count]
        has_ended = bool(told) and told[-1].finish_reason is not None
        drawn.append(None if has_ended else tokens_of(told))
    return msgspec.structs.replace(wanted, id=f"{wanted.id} from {num_told}", drawn=tuple(drawn))


def check_both_together(
    harness: Harness, wanted: GenerationRequest, whole: list[TokenOutput], num_told: list[int]
) -> None:
    rest = begun(wanted, whole, num_told)
    if not rest.indexes:
        return
    harness.run([rest])
    for index, count in enumerate(num_told):
        all_told, first = of_choice(whole, wanted.id, index), of_choice(whole, wanted.id, index)[:count]
        second = of_choice(harness.outputs, rest.id, index)
        assert text_of(first + second) == text_of(all_told)
        assert tokens_of(first + second) == tokens_of(all_told)
        assert ending_of(first + second) == ending_of(all_told)
        assert sum(output.finish_reason is not None for output in first + second) == 1


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_stream_goes_on_in_another_engine(settings: dict[str, Any]) -> None:
    wanted = telling(request("whole", PROMPT, max_tokens=20, **settings))
    harness = Harness(FakeContext(end_weight=0.0))
    harness.run([wanted])
    for count in range(20):
        fresh = Harness(FakeContext(end_weight=0.0))
        check_both_together(fresh, wanted, harness.outputs, [count])


@pytest.mark.parametrize("seed", range(6))
def test_choices_stops_and_neighbours_go_on_as_if_nothing_had_been(seed: int) -> None:
    """In cells for a few of them, so that they are preempted there, too."""
    rng = random.Random(seed)
    requests = [telling(wanted) for wanted in mixed_requests(seed, 12, longest=40)]
    first = Harness(FakeContext(end_weight=0.0), context_size=128)
    first.run(requests)
    second = Harness(FakeContext(num_cells=128, end_weight=0.0), context_size=128, max_running=16)
    rests = []
    for wanted in requests:
        counts = [len(of_choice(first.outputs, wanted.id, index)) for index in range(wanted.n)]
        rests.append(begun(wanted, first.outputs, [rng.randrange(count + 1) for count in counts]))
        told = [rng.randrange(count + 1) for count in counts]
        check_both_together(Harness(FakeContext(end_weight=0.0)), wanted, first.outputs, told)
    wanted_texts = {
        (w.id, index): text_of(of_choice(first.outputs, w.id, index))
        for w in requests
        for index in range(w.n)
    }
    texts = second.run([rest for rest in rests if rest.indexes])
    for wanted, rest in zip(requests, rests, strict=True):
        for index in rest.indexes:
            assert wanted_texts[wanted.id, index].endswith(texts[rest.id, index])
            assert len(second.reasons()[rest.id, index]) == 1


@pytest.mark.parametrize("name", GUIDED)
def test_constraints_and_thoughts_go_on(name: str) -> None:
    script, guided = GUIDED[name]
    wanted = telling(guided)
    harness = Scripted()
    harness.context.script = script.context.script  # type: ignore[attr-defined]
    harness.run([wanted])
    whole = list(harness.outputs)
    assert len(whole) > 1
    for count in range(len(whole)):
        check_both_together(harness, wanted, whole, [count])


def test_a_text_that_was_held_back_is_told_once() -> None:
    harness = Harness(FakeContext(end_weight=0.0))
    text = harness.run([request("whole", PROMPT)])["whole", 0]
    # Begins at 6 as a stop string does, and is none in the end.
    wanted = telling(request("held", PROMPT, stop=[text[6:9] + "?"]))
    harness.run([wanted])
    told = of_choice(harness.outputs, "held", 0)
    drawn = tokens_of(told)[:8]
    rest = msgspec.structs.replace(wanted, id="rest", drawn=(drawn,))
    assert harness.run([rest])["rest", 0] == text[6:]


def test_one_that_is_under_way_is_not_late() -> None:
    first = Harness(FakeContext(end_weight=0.0))
    first.run([telling(request("whole", PROMPT))])
    told = of_choice(first.outputs, "whole", 0)[:4]
    harness = Harness(FakeContext(end_weight=0.0), queue_seconds=1e-9)
    rest = msgspec.structs.replace(request("rest", PROMPT), drawn=(tokens_of(told),))
    harness.run([rest])
    assert harness.reasons()["rest", 0] == [FinishReason.LENGTH]


@pytest.mark.parametrize(
    "changes",
    [
        {"drawn": ((1,), (2,))},
        {"drawn": (None,)},
        {"drawn": ((9999,),)},
        {"drawn": ((1,) * 500,)},
        {"drawn": ((1,),), "num_prompt_logprobs": 1},
        {"drawn": ((1,),), "num_traced": 1},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    harness = Harness()
    harness.run([msgspec.structs.replace(request("r", PROMPT), **changes)])
    assert {tuple(reasons) for reasons in harness.reasons().values()} <= {(FinishReason.ERROR,)}
    assert harness.engine.is_idle
