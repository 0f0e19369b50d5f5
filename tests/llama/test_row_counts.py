"""What a row of a batch gives does not depend on how many rows are beside it, to the last bit.

llama.cpp has kernels for single rows, for some and for many; the build makes them add up alike.
"""

import gguf
import numpy as np
import pytest
from caravan.llama import library

from tests.llama.products import Floats, Processor, quantized

KINDS = (
    *("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"),
    *("IQ4_NL", "IQ4_XS", "IQ3_S", "IQ3_XXS", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_S", "IQ1_M"),
    *("TQ1_0", "TQ2_0", "MXFP4"),
)
COUNTS = (*range(2, 18), 20, 31, 33, 40)
# Outputs that all layouts take, some that repacked ones leave to others, and some of which AMX computes
# 128 and then 32 for a single row.
COLUMNS = (64, 44, 160)

pytestmark = pytest.mark.skipif(
    not library.has_runs_of_rows(), reason="a processor without AVX2, or another build of llama.cpp"
)


@pytest.fixture(scope="module")
def processor() -> Processor:
    return Processor()


@pytest.mark.parametrize("num_columns", COLUMNS)
@pytest.mark.parametrize("name", KINDS)
def test_products(processor: Processor, name: str, num_columns: int) -> None:
    kind = gguf.GGMLQuantizationType[name]
    rng = np.random.default_rng(kind.value)
    matrix = rng.standard_normal((num_columns, 512)).astype(np.float32)
    rows = 2 * rng.standard_normal((max(COUNTS), 512)).astype(np.float32)
    weights = quantized(matrix, kind)
    for layout, buffer in processor.layouts().items():

        def product(some: Floats, buffer: int = buffer) -> Floats | None:
            return processor.product(weights, kind, some, num_columns, buffer)

        first = product(rows[:1])
        if first is None:
            continue
        alone = [product(row[None]) for row in rows]
        expected = np.concatenate([found for found in alone if found is not None])
        assert len(expected) == len(rows)
        for count in COUNTS:
            found = product(rows[:count])
            assert found is not None
            np.testing.assert_array_equal(found, expected[:count], f"{name}, {layout}, {count} rows")
        # Not a proof of accuracy, but that the numbers are products of this matrix at all.
        correlation = np.corrcoef((rows @ matrix.T).ravel(), expected.ravel())[0, 1]
        assert correlation > (0.6 if kind.name.startswith(("IQ1", "TQ")) else 0.9)
