"""The engine's promises on real llama.cpp memory of every kind.

Numbers are exact enough to compare texts: float32 cells, no flash attention (which adds up in float16), and
only requests whose every token is decided by a margin far above what is left of rounding.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial

import pytest
from caravan.engine.outputs import FinishReason
from caravan.engine.params import GenerationRequest, SamplingParams
from caravan.llama import library
from caravan.llama.batch import Batch
from caravan.llama.context import DecodeStatus

from tests.conftest import TinyModels
from tests.engine.real_harness import CONTEXT_SIZE, RealHarness, WindowsHarness, Workload
from tests.tiny_model import ARCHITECTURES
from tests.waiting import PATIENCE

pytestmark = pytest.mark.usefixtures("exact_numbers", "either_attention")

Setup = Callable[..., tuple[RealHarness, Workload]]

# Tiles make no difference where memory cannot be cut.
WITHOUT_TILES = ("mamba", "lfm2")
# Gemma whose layers with a window keep that and no more, which is less than so many cells.
WINDOWS, LEAST_CELLS = "gemma3 windows", 512
KINDS = (*ARCHITECTURES, WINDOWS)


def each(architectures: Iterable[str]) -> pytest.MarkDecorator:
    """Every architecture with every attention that makes a difference to it."""
    cases = [
        (name, has_tiles)
        for name in architectures
        for has_tiles in ([False] if name in WITHOUT_TILES else [False, True])
    ]
    return pytest.mark.parametrize(("architecture", "either_attention"), cases, indirect=["either_attention"])


EACH = each(KINDS)
# A model without attention never lacks room, so nothing there is ever preempted.
EACH_WITH_CELLS = each(name for name in KINDS if name != "mamba")


@pytest.fixture
def setup(tiny_models: TinyModels) -> Iterator[Setup]:
    """Makes an engine and a workload for an architecture; both are closed at the end."""
    with ExitStack() as stack:

        def make(architecture: str, seed: int, **changes: int) -> tuple[RealHarness, Workload]:
            path, kind = tiny_models[architecture.split()[0]], RealHarness
            if architecture == WINDOWS:
                kind = WindowsHarness
                changes["num_cells"] = max(changes.get("num_cells", 0), LEAST_CELLS)
            harness = kind(path, **changes)
            stack.callback(harness.close)
            if not (library.has_runs_of_rows() or harness.context.has_tiles):
                pytest.skip("GPUs have no tiles")
            workload = Workload(path, seed)
            stack.callback(workload.close)
            return harness, workload

        yield make


def _extended(workload: Workload, prefix: list[int]) -> list[int]:
    return prefix + workload.tokens(workload.rng.randrange(1, 8))


@pytest.mark.parametrize("seed", [1, 2])
@EACH
def test_batched_equals_alone(setup: Setup, architecture: str, seed: int) -> None:
    harness, workload = setup(architecture, seed)
    pending = workload.mixed(16)

    def arrive(_turn: int) -> None:
        while pending and (harness.engine.is_idle or workload.rng.random() < 0.3):
            harness.engine.submit(pending.pop())

    assert harness.finish(arrive) == workload.expected
    assert len(set(workload.expected.values())) > 10
    harness.check_cells()


@pytest.mark.parametrize("max_sequences", [2, 8])
@EACH
def test_warm_equals_cold(setup: Setup, architecture: str, max_sequences: int) -> None:
    harness, workload = setup(architecture, 3, max_sequences=max_sequences)
    for _ in range(3):
        history = workload.tokens(workload.rng.randrange(5, 60))
        while len(history) < CONTEXT_SIZE - 60:
            shorter = history[: workload.rng.randrange(1, len(history) + 1)]
            for prefix in (history, shorter, history):
                request = workload.request(partial(_extended, workload, prefix), partial(workload.params, 12))
                harness.run([request])
            harness.run([workload.repeat(request)])
            history = [*request.token_ids, *workload.answers[request.id]]
    assert harness.texts() == workload.expected
    assert harness.engine.stats().num_cached_tokens > 0
    harness.check_cells()


@EACH
def test_the_next_turn_of_a_conversation_is_warm(setup: Setup, architecture: str) -> None:
    harness, workload = setup(architecture, 4)
    greedy = partial(SamplingParams, temperature=0, max_tokens=10)
    history = workload.tokens(30)
    for _ in range(4):
        request = workload.request(partial(_extended, workload, history), greedy)
        harness.run([request])
        if len(history) > 30:
            # All but the last token drawn, which was never computed.
            assert harness.cached_tokens(request.id) == len(history) - 1
        history = [*request.token_ids, *workload.answers[request.id]]
    assert harness.texts() == workload.expected


@pytest.mark.parametrize("seed", [5, 6])
@EACH_WITH_CELLS
def test_preempted_equals_undisturbed(setup: Setup, architecture: str, seed: int) -> None:
    harness, workload = setup(architecture, seed, num_cells=256)
    requests = [
        workload.request(
            lambda: workload.tokens(20),
            lambda: SamplingParams(
                temperature=workload.rng.choice([0.0, 1.0]),
                seed=workload.rng.randrange(1000),
                max_tokens=60,
            ),
        )
        for _ in range(10)
    ]
    assert harness.run(requests) == workload.expected
    assert harness.engine.stats().num_preemptions > 0
    harness.check_cells()


@EACH
def test_stress(setup: Setup, architecture: str) -> None:
    """Hundreds of short requests, little memory, arrivals and aborts at random moments."""
    harness, workload = setup(architecture, 8, num_cells=256, max_sequences=6)
    rng = workload.rng
    requests = workload.mixed(100, longest=12)
    pending = list(requests)

    def disturb(_turn: int) -> None:
        while pending and (harness.engine.is_idle or rng.random() < 0.4):
            harness.engine.submit(pending.pop())
        if rng.random() < 0.1:
            harness.engine.abort(rng.choice(requests).id)

    texts = harness.finish(disturb)
    reasons = harness.reasons()
    assert reasons.keys() == workload.expected.keys()
    assert all(len(given) == 1 for given in reasons.values())
    assert {given[0] for given in reasons.values()} == {"stop", "length", "abort"}
    for key, text in texts.items():
        if reasons[key] == [FinishReason.ABORT]:
            assert workload.expected[key].startswith(text)
        else:
            assert text == workload.expected[key]
    harness.check_cells()


@EACH
def test_choices_of_one_prompt(setup: Setup, architecture: str) -> None:
    harness, workload = setup(architecture, 9)
    params = SamplingParams(temperature=1.0, seed=6, max_tokens=16)
    request = workload.request(lambda: workload.tokens(50), lambda: params, n=6)
    assert harness.run([request]) == workload.expected
    assert len(set(workload.expected.values())) > 3


@EACH
def test_after_a_failure_the_memory_is_clean(
    setup: Setup, architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decode that reports failure has left things behind; whoever comes next must not see them."""
    harness, workload = setup(architecture, 12, max_running=4)
    requests = workload.mixed(30)
    decode, steps = harness.context.decode, itertools.count(1)

    def fail_now_and_then(batch: Batch, unless: Callable[[], bool] | None = None) -> DecodeStatus:
        status = decode(batch, unless)
        return DecodeStatus.FAILED if next(steps) % 23 == 0 else status

    monkeypatch.setattr(harness.context, "decode", fail_now_and_then)
    texts = harness.run(requests)
    reasons = harness.reasons()
    assert all(len(given) == 1 for given in reasons.values())
    survivors = {key for key, (reason,) in reasons.items() if reason is not FinishReason.ERROR}
    assert 10 < len(survivors) < len(workload.expected)
    assert {key: texts[key] for key in survivors} == {key: workload.expected[key] for key in survivors}


@EACH
def test_threads(setup: Setup, architecture: str) -> None:
    """The engine in a thread of its own, and clients in others; stopping answers whoever is left."""
    harness, workload = setup(architecture, 10)
    requests = workload.mixed(24, longest=20)
    endless = GenerationRequest(
        id="endless", token_ids=(1, 2, 3), params=SamplingParams(seed=1), n=3, cache_salt="other"
    )
    engine = threading.Thread(target=harness.engine.run)
    engine.start()

    def client(share: list[GenerationRequest]) -> None:
        for request in share:
            harness.engine.submit(request)
            time.sleep(0.002)

    clients = [threading.Thread(target=client, args=(requests[i::4],)) for i in range(4)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    deadline = time.monotonic() + PATIENCE
    while len(harness.reasons()) < len(workload.expected) and time.monotonic() < deadline:
        time.sleep(0.005)
    assert harness.texts() == workload.expected
    harness.engine.submit(endless)
    harness.engine.stop()
    engine.join(PATIENCE)
    assert not engine.is_alive()
    assert all(len(given) == 1 for given in harness.reasons().values())
    assert {harness.reasons()["endless", index][0] for index in range(3)} <= {"abort", "stop", "length"}


@pytest.mark.parametrize("architecture", ["mamba", "lfm2", WINDOWS])
def test_a_prefix_of_many_is_computed_once(setup: Setup, architecture: str) -> None:
    """Eight at once, then one by one, then those whose first turn ends where the prompt says so."""
    harness, workload = setup(architecture, 13)
    stem = workload.tokens(120)
    greedy = partial(SamplingParams, temperature=0, max_tokens=6)
    requests = [workload.request(partial(_extended, workload, stem), greedy) for _ in range(8)]
    harness.run(requests)
    num_own = sum(len(request.token_ids) - len(stem) for request in requests)
    # Up to 15 tokens are not worth waiting for.
    assert len(stem) + num_own <= num_computed(harness) <= len(stem) + num_own + 7 * 15
    for _ in range(4):
        harness.run([request := workload.request(partial(_extended, workload, stem), greedy)])
        assert harness.cached_tokens(request.id) >= len(stem)
    end_id = min(harness.model.vocab.end_of_generation_ids)
    turn = [*workload.tokens(60), end_id]
    for number in range(3):
        harness.run([request := workload.request(partial(_extended, workload, turn), greedy)])
        assert harness.cached_tokens(request.id) >= (len(turn) if number else 0)
    assert harness.texts() == workload.expected
    harness.check_cells()


def num_computed(harness: RealHarness) -> int:
    """Tokens of prompts that were not in memory."""
    stats = harness.engine.stats()
    return stats.num_prompt_tokens - stats.num_cached_tokens
