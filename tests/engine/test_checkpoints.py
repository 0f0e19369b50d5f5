"""The engine's promises where memory cannot be cut but is saved at places, and how much is computed there.

On a context that refuses a state of other tokens, and a window that has moved on.
"""

import random

import msgspec
import pytest
from caravan.engine.params import GenerationRequest

from tests.engine.harness import Harness, Key, mixed_requests, request
from tests.fakes import END_OF_GENERATION, FakeContext

SEEDS = range(4)
KINDS: dict[str, dict[str, object]] = {
    "hybrid": {"can_cut": False, "can_checkpoint": True},
    "recurrent": {"can_cut": False, "can_checkpoint": True, "is_all_state": True},
    "windows": {"sliding_window": 12, "keeps_windows": True, "can_checkpoint": True},
}
EACH = pytest.mark.parametrize("kind", KINDS)
NO_END: dict[str, object] = {"end_weight": 0.0}


def context_of(kind: str, **changes: object) -> FakeContext:
    return FakeContext(**{**KINDS[kind], **changes})  # type: ignore[arg-type]


def with_turns(seed: int, count: int, longest: int) -> list[GenerationRequest]:
    """Mixed requests in whose prompts turns end here and there."""
    rng = random.Random(seed)
    requests = []
    for item in mixed_requests(seed, count, longest):
        # By the place, so that prompts which begin alike still do.
        ids = [END_OF_GENERATION if i % 23 == 22 and t % 3 else t for i, t in enumerate(item.token_ids)]
        salt = rng.choice(["", "", "one", "two"])
        requests.append(
            GenerationRequest(id=item.id, token_ids=tuple(ids), params=item.params, n=item.n, cache_salt=salt)
        )
    return requests


def alone(requests: list[GenerationRequest], **changes: float) -> dict[Key, str]:
    """The text of each request on an engine of its own."""
    texts: dict[Key, str] = {}
    for item in requests:
        texts |= Harness(FakeContext(**changes)).run([item])  # type: ignore[arg-type]
    return texts


@EACH
@pytest.mark.parametrize("seed", SEEDS)
def test_batched_equals_alone(seed: int, kind: str) -> None:
    requests = with_turns(seed, 30, 120)
    harness = Harness(context_of(kind))
    assert harness.run(requests) == alone(requests)
    assert harness.engine.stats().num_cached_tokens > 0


@EACH
@pytest.mark.parametrize("max_sequences", [1, 2, 16])
@pytest.mark.parametrize("seed", SEEDS)
def test_warm_equals_cold(seed: int, max_sequences: int, kind: str) -> None:
    requests = with_turns(seed, 40, 120)
    harness = Harness(context_of(kind, max_sequences=max_sequences))
    for item in requests:
        harness.run([item])
    assert harness.texts() == alone(requests)
    assert harness.engine._kv_cache.checkpoints.num_used > 0


@EACH
@pytest.mark.parametrize("seed", SEEDS)
def test_preempted_equals_undisturbed(seed: int, kind: str) -> None:
    requests = with_turns(seed, 40, 40)
    harness = Harness(context_of(kind, num_cells=128, end_weight=0.0), context_size=128, max_running=16)
    assert harness.run(requests) == Harness(FakeContext(end_weight=0.0)).run(requests)
    assert harness.engine.stats().num_preemptions > 0


@EACH
def test_room_for_few_checkpoints_changes_no_text(kind: str) -> None:
    requests = with_turns(3, 40, 120)
    harness = Harness(context_of(kind), checkpoint_bytes=1500)
    assert harness.run(requests) == alone(requests)
    checkpoints = harness.engine._kv_cache.checkpoints
    assert 0 < checkpoints.num_bytes <= 1500
    assert harness.context.num_saved > checkpoints.num_kept


@EACH
def test_a_shared_prefix_is_computed_once_even_when_all_arrive_together(kind: str) -> None:
    harness = Harness(context_of(kind))
    prefix = [i % 251 for i in range(200)]
    requests = [request(f"r{i}", [*prefix, i, i + 1], max_tokens=1) for i in range(8)]
    assert harness.run(requests) == alone(requests)
    # Up to 15 tokens are not worth waiting for.
    assert 200 + 8 * 2 <= harness.context.num_decoded <= 200 + 8 * 2 + 7 * 15


@EACH
def test_choices_of_one_prompt_compute_it_once(kind: str) -> None:
    harness = Harness(context_of(kind))
    texts = harness.run([request("r", range(150), n=8, temperature=1.0, seed=5, max_tokens=10)])
    assert len(set(texts.values())) > 1
    assert harness.context.num_decoded <= 149 + 8 * 10


@EACH
def test_those_who_come_later_pay_once(kind: str) -> None:
    """Without anything in the prompt that tells where they will part."""
    harness = Harness(context_of(kind, **NO_END))
    prefix = list(range(200))
    computed = []
    for i in range(4):
        before = harness.context.num_decoded
        harness.run([request(f"r{i}", [*prefix, 201 + i, *range(30)], max_tokens=1)])
        computed.append(harness.context.num_decoded - before)
    assert computed == [231, 231, 31, 31]


@EACH
def test_conversations_compute_what_is_new(kind: str) -> None:
    """Eight conversations of four turns side by side, with the same instructions."""
    harness = Harness(context_of(kind, **NO_END), context_size=1024)
    system = [*range(100, 180), END_OF_GENERATION]
    histories, known = {f"c{i}": list(system) for i in range(8)}, len(system)
    for turn in range(4):
        for name, history in histories.items():
            history += [*[ord(name[1]) + turn] * 20, END_OF_GENERATION, 1, 2]
            known += 23
        requests = [request(f"{name} {turn}", ids, max_tokens=12) for name, ids in histories.items()]
        harness.run([msgspec.structs.replace(item, tells_token_ids=True) for item in requests])
        for name, history in histories.items():
            history += drawn(harness, f"{name} {turn}")
            known += 12
    # Of the last answers the last token is not computed, as nothing follows.
    assert harness.context.num_decoded == known - 8


@EACH
def test_an_answer_that_is_told_otherwise_costs_no_more_than_itself(kind: str) -> None:
    """As where a template leaves thoughts out of what the model said before."""
    harness = Harness(context_of(kind, **NO_END))
    asked = [*range(100, 180), END_OF_GENERATION]
    harness.run([request("first", [*asked, 1, 2], max_tokens=20)])
    before = harness.context.num_decoded
    harness.run([request("second", [*asked, 1, 3, *range(30), END_OF_GENERATION, 1, 2], max_tokens=1)])
    assert harness.context.num_decoded - before == 35


def drawn(harness: Harness, name: str) -> list[int]:
    return [i for output in harness.outputs if output.request_id == name for i in output.token_ids]
