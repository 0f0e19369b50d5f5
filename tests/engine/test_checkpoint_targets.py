"""How much is computed on real memory that cannot be cut: counts, which no machine changes."""

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import msgspec
import pytest
from caravan.engine.params import GenerationRequest, SamplingParams

from tests.conftest import TinyModels
from tests.engine.real_harness import RealHarness, WindowsHarness

WINDOWS = "gemma3 windows"
# So many tokens of a neighbour's prefix are not worth waiting for.
UNAWAITED = 15
EACH = pytest.mark.parametrize("kind", ["lfm2", "mamba", WINDOWS])
PREFIX = 800

Opened = Callable[[], RealHarness]


@pytest.fixture
def opened(tiny_models: TinyModels, kind: str) -> Iterator[Opened]:
    """Opens engines of a kind with room for long texts; all are closed at the end."""
    with ExitStack() as stack:

        def open_engine() -> RealHarness:
            make = WindowsHarness if kind == WINDOWS else RealHarness
            harness = make(tiny_models[kind.split()[0]], num_cells=4096, context_size=1200)
            stack.callback(harness.close)
            return harness

        yield open_engine


def request(name: str, token_ids: list[int], max_tokens: int = 8) -> GenerationRequest:
    return GenerationRequest(
        id=name,
        token_ids=tuple(token_ids),
        params=SamplingParams(temperature=0, max_tokens=max_tokens, ignore_eos=True),
        tells_token_ids=True,
    )


def num_computed(harness: RealHarness) -> int:
    """Tokens of prompts that were not in memory."""
    stats = harness.engine.stats()
    return stats.num_prompt_tokens - stats.num_cached_tokens


def drawn(harness: RealHarness, name: str) -> list[int]:
    return [i for output in harness.outputs if output.request_id == name for i in output.token_ids]


@EACH
def test_eight_requests_compute_a_prefix_of_800_tokens_once(opened: Opened) -> None:
    rng = random.Random(1)
    prefix = [rng.randrange(256) for _ in range(PREFIX)]
    requests = [request(f"r{i}", [*prefix, *(rng.randrange(256) for _ in range(20))]) for i in range(8)]
    harness, cold = opened(), opened()
    texts = harness.run(requests)
    own = 8 * 20
    assert PREFIX + own <= num_computed(harness) <= PREFIX + own + 7 * UNAWAITED
    for item in requests:
        cold.engine._kv_cache.clear()
        cold.run([item])
    assert num_computed(cold) == 8 * (PREFIX + 20)
    assert texts == cold.texts()
    assert len(set(texts.values())) > 4


@EACH
def test_eight_conversations_of_four_turns_compute_what_is_new(opened: Opened) -> None:
    rng = random.Random(2)
    harness = opened()
    end_id = min(harness.model.vocab.end_of_generation_ids)
    system = [*(rng.randrange(256) for _ in range(200)), end_id]
    histories = {f"c{i}": list(system) for i in range(8)}
    computed = []
    for turn in range(4):
        before = num_computed(harness)
        for history in histories.values():
            history += [*(rng.randrange(256) for _ in range(30)), end_id, 1, 2, 3]
        harness.run([request(f"{name} {turn}", history) for name, history in histories.items()])
        for name, history in histories.items():
            history += drawn(harness, f"{name} {turn}")
        computed.append(num_computed(harness) - before)
    first, *others = computed
    assert len(system) + 8 * 34 <= first <= len(system) + 8 * 34 + 7 * UNAWAITED
    # Of the answer before, the last token was not computed.
    assert others == [8 * 35] * 3


@EACH
def test_a_turn_that_is_asked_again_costs_its_last_tokens(opened: Opened, kind: str) -> None:
    """And so does one whose answer before it is told without its thought."""
    rng = random.Random(3)
    harness = opened()
    end_id = min(harness.model.vocab.end_of_generation_ids)
    asked = [*(rng.randrange(256) for _ in range(150)), end_id]
    first = request("first", [*asked, 1, 2, 3], max_tokens=60)
    harness.run([first])
    before = num_computed(harness)
    harness.run([msgspec.structs.replace(first, id="again")])
    # A window has not moved on yet, so that all but the last is there.
    num_more = 2 if kind == WINDOWS else 0
    assert num_computed(harness) - before == 3 - num_more
    before = num_computed(harness)
    harness.run([request("next", [*asked, 1, 2, *range(20), end_id, *range(30), end_id, 1, 2, 3])])
    assert num_computed(harness) - before == 2 + 21 + 31 + 3 - num_more
