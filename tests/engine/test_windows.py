"""The engine's promises where windows have fewer cells than texts: whoever finds no room waits, none fails.

On a context that has no room for a window more than that.
"""

import pytest

from tests.engine.harness import Harness, Key, mixed_requests, request
from tests.fakes import FakeContext

WINDOW = 12


def few(num_window_cells: int, window: int = WINDOW, **changes: float) -> FakeContext:
    """A context with room for so much of windows beside a batch."""
    return FakeContext(
        sliding_window=window,
        keeps_windows=True,
        can_checkpoint=True,
        num_window_cells=num_window_cells,
        **changes,  # type: ignore[arg-type]
    )


def plenty(seed: int, **changes: float) -> dict[Key, str]:
    return Harness(FakeContext(**changes)).run(mixed_requests(seed, 30, 120))  # type: ignore[arg-type]


@pytest.mark.parametrize("num_window_cells", [2 * WINDOW, 3 * WINDOW - 1, 5 * WINDOW])
@pytest.mark.parametrize("seed", range(4))
def test_batched_equals_plenty(seed: int, num_window_cells: int) -> None:
    harness = Harness(few(num_window_cells))
    assert harness.run(mixed_requests(seed, 30, 120)) == plenty(seed)
    harness.check_books()


@pytest.mark.parametrize("seed", range(4))
def test_warm_equals_cold(seed: int) -> None:
    harness = Harness(few(2 * WINDOW))
    for item in mixed_requests(seed, 30, 120):
        harness.run([item])
    assert harness.texts() == plenty(seed)
    assert harness.engine.stats().num_cached_tokens > 0


def test_as_many_run_as_windows_fit() -> None:
    """They are not admitted only to be preempted."""
    harness = Harness(few(4 * WINDOW, end_weight=0.0))
    requests = [request(f"r{i}", [i] * 30, max_tokens=20) for i in range(12)]
    for item in requests:
        harness.engine.submit(item)
    most = 0

    def look(_turn: int) -> None:
        nonlocal most
        most = max(most, harness.engine.stats().num_running)

    assert harness.finish(look) == Harness(FakeContext(end_weight=0.0)).run(requests)
    assert (most, harness.engine.stats().num_preemptions) == (4, 0)


def test_who_outgrows_the_room_makes_way_and_comes_back() -> None:
    harness = Harness(few(80, window=40, end_weight=0.0), batch_size=16)
    # So short that more are admitted than have room in the end.
    requests = [request(f"r{i}", [i, i], max_tokens=60) for i in range(8)]
    assert harness.run(requests) == Harness(FakeContext(end_weight=0.0)).run(requests)
    assert harness.engine.stats().num_preemptions > 0


def test_a_newcomer_goes_on_from_a_text_at_the_cost_of_idle_ones() -> None:
    harness = Harness(few(2 * WINDOW, end_weight=0.0))
    stem = list(range(40))
    for tail in ([1], [2], [3], [2]):
        harness.run([request(f"r{tail}{len(harness.outputs)}", [*stem, *tail, *range(20)], max_tokens=2)])
    stats = harness.engine.stats()
    assert stats.num_cached_tokens >= 40
    assert stats.num_idle_sequences <= 2
