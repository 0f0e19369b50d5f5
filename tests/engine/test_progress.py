"""How much of a prompt is computed, as the engine tells it."""

from collections import defaultdict

import msgspec
import pytest
from caravan.engine.ipc.output_queue import OutputQueue
from caravan.engine.outputs import PromptProgress, TokenLogprob, TokenOutput

from tests.engine.harness import Harness, request

pytestmark = pytest.mark.usefixtures("either_attention")


def told(harness: Harness) -> dict[str, list[tuple[int, int]]]:
    """What is in memory and was before, by request; checks that it comes in order and before all else."""
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    last: dict[str, float] = {}
    spoken: set[str] = set()
    for output in harness.outputs:
        if output.progress is None:
            spoken.add(output.request_id)
            continue
        assert output.request_id not in spoken
        assert (output.index, output.text, output.finish_reason, output.num_completion_tokens) == (
            0,
            "",
            None,
            0,
        )
        assert output.progress.seconds >= last.get(output.request_id, 0.0)
        last[output.request_id] = output.progress.seconds
        found[output.request_id].append((output.progress.num_computed_tokens, output.num_cached_tokens))
    return dict(found)


def test_it_is_told_from_what_was_there_to_the_whole_prompt() -> None:
    harness = Harness(batch_size=32)
    asked = msgspec.structs.replace(request("a", range(100)), tells_progress=True)
    silent = harness.run([request("b", range(100, 180))])
    texts = harness.run([asked])
    assert told(harness) == {"a": [(0, 0), (32, 0), (64, 0), (96, 0), (100, 0)]}
    again = msgspec.structs.replace(asked, id="c", token_ids=(*range(90), *range(7)))
    harness.run([again])
    assert told(harness)["c"] == [(90, 90), (97, 90)]
    plain = Harness(batch_size=32)
    assert plain.run([request("a", range(100))])["a", 0] == texts["a", 0]
    assert silent


def test_the_first_choice_tells_it_for_all() -> None:
    harness = Harness(batch_size=32)
    harness.run([msgspec.structs.replace(request("a", range(60), n=3), tells_progress=True)])
    assert told(harness) == {"a": [(0, 0), (32, 0), (60, 0)]}


def test_one_that_goes_back_to_the_queue_tells_only_what_is_more() -> None:
    harness = Harness(batch_size=32)
    harness.engine.submit(msgspec.structs.replace(request("a", range(90)), tells_progress=True))
    harness.engine.turn()
    harness.engine._scheduler.preempt_one()
    harness.finish()
    computed = [count for count, _ in told(harness)["a"]]
    assert computed == sorted(set(computed))
    assert computed[-1] == 90


def test_it_takes_no_scores_from_the_first_output() -> None:
    queue = OutputQueue(1, num_scores=1)
    scores = (TokenLogprob(1, -1.0),)
    queue.put(TokenOutput(request_id="a", prompt_logprobs=scores, is_slice=True))
    queue.put(TokenOutput(request_id="a", progress=PromptProgress(1, 0.5)))
    queue.put(TokenOutput(request_id="a", text="x"))
    progress, first = queue._items
    assert isinstance(progress, TokenOutput)
    assert isinstance(first, TokenOutput)
    assert (progress.prompt_logprobs, first.prompt_logprobs) == ((), scores)
