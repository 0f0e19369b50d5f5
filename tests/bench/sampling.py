"""What a draw costs, beside llama.cpp's own chain and beside one that tells of its stages.

`python -m tests.bench.sampling` prints a table of each. All draw from the same rows, turn by turn, so that a
busy machine slows all of them. Times are medians.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from caravan.engine.params import SamplingParams
from caravan.engine.sampling.sampler import Sampler, TokenSpace
from caravan.engine.sampling.trace import TracedSampler
from numpy.typing import NDArray

from tests.bench.native_chain import NativeChain

VOCAB_SIZE = 151_936
NUM_ROWS = 16
ROUNDS = 3
OFF: dict[str, Any] = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
PENALTIES: dict[str, Any] = {"repeat_penalty": 1.1, "presence_penalty": 0.1, "frequency_penalty": 0.1}

# Name, parameters, and the most milliseconds that a row of either kind may take.
CASES: tuple[tuple[str, dict[str, Any], float | None], ...] = (
    ("greedy", {"temperature": 0.0}, 0.025),
    ("defaults", {}, 0.04),
    ("defaults and penalties", PENALTIES, 0.04),
    ("no truncation", OFF, 0.12),
    ("temperature 0.8", OFF | {"temperature": 0.8}, None),
    ("top_k 1000", OFF | {"top_k": 1000}, None),
    ("top_p 0.95", OFF | {"top_p": 0.95}, None),
    ("min_p 0.05", OFF | {"min_p": 0.05}, None),
    ("typical_p 0.9", OFF | {"typical_p": 0.9}, None),
    ("top_n_sigma 1", OFF | {"top_n_sigma": 1.0}, None),
    ("xtc 0.5", OFF | {"xtc_probability": 0.5}, None),
    ("dynatemp 0.5", OFF | {"dynatemp_range": 0.5}, None),
    ("mirostat 1", OFF | {"mirostat": 1}, None),
    ("mirostat 2", OFF | {"mirostat": 2}, None),
    ("adaptive-p 0.3", OFF | {"adaptive_target": 0.3}, None),
)

# Of the model that ships, of Llama 2, of Qwen 3.
VOCAB_SIZES = (3_072, 32_000, VOCAB_SIZE)
TOLD: tuple[tuple[str, dict[str, Any]], ...] = (
    ("defaults", {}),
    ("defaults and penalties", PENALTIES),
    ("top_p 0.95 alone", OFF | {"top_p": 0.95}),
)

Row = NDArray[np.float32]


def rows(kind: str) -> list[Row]:
    """`wide`: a normal distribution, its nucleus thousands of tokens. `peaked`: a few tokens have it all."""
    generator = np.random.default_rng(1)
    made = []
    for _ in range(NUM_ROWS):
        row = generator.normal(0, 3, VOCAB_SIZE)
        if kind == "peaked":
            row[generator.integers(0, VOCAB_SIZE, 100)] += generator.exponential(4, 100) + 10
        made.append(row.astype(np.float32))
    return made


def compare(params: SamplingParams, logits: list[Row]) -> tuple[float, float]:
    """Median seconds of one draw: ours, llama.cpp's."""
    prompt = np.random.default_rng(2).integers(0, VOCAB_SIZE, 500).tolist()
    sampler = Sampler(params, prompt, 0, TokenSpace(VOCAB_SIZE, {VOCAB_SIZE - 1}))
    chain = NativeChain(params, prompt, VOCAB_SIZE)
    ours, theirs = [], []
    for _ in range(ROUNDS):
        for row in logits:
            mine = row.copy()
            ours.append(_seconds(sampler.sample, mine))
            theirs.append(_seconds(chain.sample, row))
    chain.close()
    return statistics.median(ours), statistics.median(theirs)


def _seconds(draw: Callable[[Row], int], row: Row) -> float:
    start = time.perf_counter()
    draw(row)
    return time.perf_counter() - start


def table() -> Iterator[str]:
    """Lines of a Markdown table."""
    yield "| one row of 151,936 | logits | ours, ms | llama.cpp, ms | llama.cpp / ours | target, ms |"
    yield "| --- | --- | --- | --- | --- | --- |"
    logits = {kind: rows(kind) for kind in ("peaked", "wide")}
    for name, changes, target in CASES:
        params = SamplingParams(seed=1, **changes)
        for kind, made in logits.items():
            ours, theirs = (1000 * seconds for seconds in compare(params, made))
            wanted = "" if target is None else f"{target:g}"
            yield f"| {name} | {kind} | {ours:.3f} | {theirs:.3f} | {theirs / ours:.1f} | {wanted} |"


def telling() -> Iterator[str]:
    """Lines of a table of what explanations cost in the engine, for each token."""
    yield "| a draw, ms | tokens | not told | with 10 candidates | with 200 |"
    yield "| --- | --- | --- | --- | --- |"
    prompt = np.random.default_rng(2).integers(0, VOCAB_SIZES[0], 500).tolist()
    for size in VOCAB_SIZES:
        tokens = TokenSpace(size, {size - 1})
        for name, changes in TOLD:
            known = SamplingParams(seed=1, **changes), prompt, 0, tokens
            traced = [TracedSampler(*known, num_candidates=count) for count in (10, 200)]
            costs = _costs([Sampler(*known), *traced], [row[:size] for row in rows("wide")])
            yield f"| {name} | {size:,} | {' | '.join(f'{1000 * cost:.2f}' for cost in costs)} |"


def _costs(samplers: Sequence[Sampler], logits: list[Row]) -> list[float]:
    """Median seconds of a draw of each."""
    spent: list[list[float]] = [[] for _ in samplers]
    for _ in range(ROUNDS):
        for row in logits:
            for sampler, seconds in zip(samplers, spent, strict=True):
                seconds.append(_seconds(sampler.sample, row.copy()))
    return [statistics.median(seconds) for seconds in spent]


if __name__ == "__main__":
    for line in (*table(), "", *telling()):
        print(line, flush=True)
