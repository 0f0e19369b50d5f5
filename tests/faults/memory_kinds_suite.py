"""The engine's promises on every kind of memory, for many seeds: little room, few ids, checkpoints that come
and go, requests that are aborted, and steps that fail; in both modes of the scheduler.
"""

import itertools
from collections.abc import Callable

import pytest
from caravan.engine.outputs import FinishReason
from caravan.engine.params import GenerationRequest
from caravan.llama import library
from caravan.llama.batch import Batch
from caravan.llama.context import DecodeStatus

from tests.conftest import TinyModels
from tests.engine.real_harness import RealHarness, WindowsHarness, Workload

pytestmark = pytest.mark.usefixtures("exact_numbers")

KINDS = ("llama", "gemma3", "gemma3 windows", "mamba", "lfm2")
# No checkpoints, room for a few, and room for all.
CHECKPOINT_BYTES = (0, 40_000, 64 << 20)


@pytest.mark.parametrize("has_tiles", [False, True], ids=["rows", "tiles"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_texts_are_right(
    tiny_models: TinyModels, kind: str, seed: int, has_tiles: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "has_runs_of_rows", lambda: not has_tiles)
    path, has_windows = tiny_models[kind.split()[0]], kind.endswith("windows")
    harness = (WindowsHarness if has_windows else RealHarness)(
        path,
        num_cells=512 if has_windows else 256,
        max_sequences=(2, 4, 8)[seed % 3],
        checkpoint_bytes=CHECKPOINT_BYTES[seed % 3],
    )
    workload = Workload(path, 100 + seed)
    try:
        requests = workload.mixed(60, longest=30)
        run(harness, workload, requests, monkeypatch, fails=seed % 2 == 1)
        harness.check_cells()
    finally:
        workload.close()
        harness.close()


def run(
    harness: RealHarness,
    workload: Workload,
    requests: list[GenerationRequest],
    monkeypatch: pytest.MonkeyPatch,
    *,
    fails: bool,
) -> None:
    """Submit all at random moments, disturb them, and compare what came of them."""
    decode, steps, rng = harness.context.decode, itertools.count(1), workload.rng
    pending = list(requests)

    def fail_now_and_then(batch: Batch, unless: Callable[[], bool] | None = None) -> DecodeStatus:
        status = decode(batch, unless)
        return DecodeStatus.FAILED if next(steps) % 41 == 0 else status

    if fails:
        monkeypatch.setattr(harness.context, "decode", fail_now_and_then)

    def disturb(_turn: int) -> None:
        while pending and (harness.engine.is_idle or rng.random() < 0.4):
            harness.engine.submit(pending.pop())
        if rng.random() < 0.05:
            harness.engine.abort(rng.choice(requests).id)

    texts = harness.finish(disturb)
    reasons = harness.reasons()
    assert reasons.keys() == workload.expected.keys()
    for key, (reason,) in reasons.items():
        if reason in (FinishReason.ABORT, FinishReason.ERROR):
            assert workload.expected[key].startswith(texts[key])
        else:
            assert texts[key] == workload.expected[key]
    if fails:
        monkeypatch.setattr(harness.context, "decode", decode)
