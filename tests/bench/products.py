"""What products of matrices cost by type of weights and number of rows: `python -m tests.bench.products`.

Least of many, on one thread, the weights in caches. Two builds are compared by running it with each in turn.
"""

import time
from collections.abc import Iterator

import gguf
import numpy as np

from tests.llama.products import Floats, Processor, quantized

KINDS = (
    *("F32", "F16", "BF16", "Q4_0", "Q8_0", "Q4_K", "Q5_K", "Q6_K", "Q3_K", "Q2_K"),
    *("IQ4_XS", "IQ3_S", "IQ2_XS"),
)
SIZE = 2048
COUNTS = (1, 4, 8, 64)
_SECONDS = 0.25


def milliseconds(processor: Processor, kind: gguf.GGMLQuantizationType, rows: Floats, layout: int) -> float:
    """The least time of a product; NaN where a layout has no kernel for it."""
    matrix = np.random.default_rng(1).standard_normal((SIZE, SIZE)).astype(np.float32)
    with processor.prepared(quantized(matrix, kind), kind, rows, SIZE, layout) as product:
        if product is None:
            return float("nan")
        least, end = float("inf"), time.perf_counter() + _SECONDS
        while time.perf_counter() < end:
            begin = time.perf_counter()
            product.compute()
            least = min(least, time.perf_counter() - begin)
    return 1000 * least


def table() -> Iterator[str]:
    """Lines of a Markdown table."""
    processor = Processor()
    yield f"| weights, {SIZE} x {SIZE} | layout | " + " | ".join(f"{count} rows" for count in COUNTS) + " |"
    yield "| --- " * (len(COUNTS) + 2) + "|"
    rows = np.random.default_rng(2).standard_normal((max(COUNTS), SIZE)).astype(np.float32)
    for name in KINDS:
        for layout, buffer in processor.layouts().items():
            kind = gguf.GGMLQuantizationType[name]
            found = [milliseconds(processor, kind, rows[:count], buffer) for count in COUNTS]
            if not np.isnan(found[0]):
                yield f"| {name} | {layout} | " + " | ".join(f"{value:.2f}" for value in found) + " |"


if __name__ == "__main__":
    for line in table():
        print(line, flush=True)
