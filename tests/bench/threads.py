"""Whether rows are better sampled by two threads: `python -m tests.bench.threads` prints a table."""

import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from caravan.engine.params import SamplingParams
from caravan.engine.sampling.sampler import Sampler, TokenSpace

from tests.bench.sampling import OFF, VOCAB_SIZE, Row, rows

ROUNDS = 15
CASES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("greedy", {"temperature": 0.0}),
    ("defaults", {}),
    ("no truncation", OFF),
    ("top_p 0.95", OFF | {"top_p": 0.95}),
)


def _sample(samplers: list[Sampler], logits: list[Row]) -> None:
    for sampler, row in zip(samplers, logits, strict=True):
        sampler.sample(row)


def _median(draw: Callable[[list[Row]], None], logits: list[Row]) -> float:
    seconds = []
    for _ in range(ROUNDS):
        mine = [row.copy() for row in logits]
        start = time.perf_counter()
        draw(mine)
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds)


def table() -> Iterator[str]:
    """Lines of a Markdown table."""
    yield "| rows of 151,936 | parameters | one thread, ms | two threads, ms |"
    yield "| --- | --- | --- | --- |"
    tokens = TokenSpace(VOCAB_SIZE, {VOCAB_SIZE - 1})
    with ThreadPoolExecutor(1) as pool:
        for name, changes in CASES:
            for count in (8, 16):
                logits = rows("wide")[:count]
                samplers = [Sampler(SamplingParams(seed=1, **changes), [], 0, tokens) for _ in range(count)]
                half = count // 2

                def in_two(made: list[Row], samplers: list[Sampler] = samplers, half: int = half) -> None:
                    other = pool.submit(_sample, samplers[:half], made[:half])
                    _sample(samplers[half:], made[half:])
                    other.result()

                def in_one(made: list[Row], samplers: list[Sampler] = samplers) -> None:
                    _sample(samplers, made)

                yield f"| {count} | {name} | {_median(in_one, logits):.2f} | {_median(in_two, logits):.2f} |"


if __name__ == "__main__":
    for line in table():
        print(line, flush=True)
