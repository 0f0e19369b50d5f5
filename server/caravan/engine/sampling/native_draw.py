"""The usual draws in native code: of the likeliest by top_k, top_p and min_p, and of all tokens.

What comes of it is what the stages of this package come to, to the last bit; they remain for all else.
"""

import functools
import math
import random

import numpy as np

from caravan.engine.params import SamplingParams
from caravan.engine.sampling.candidates import Floats
from caravan.engine.sampling.draws import reached_by_blocks
from caravan.engine.sampling.stages import stage_names
from caravan.llama import rows

_COVERED = ("top_k", "top_p", "min_p", "temperature")


class NativeDraw:
    """Takes a token from a row of logits. One thread at a time."""

    def __init__(self, draw: rows.RowDraw) -> None:
        self._draw = draw

    def __call__(self, logits: Floats, rng: random.Random) -> int | None:
        """Draw; None where the row has to be drawn from otherwise. Chance has not gone on then."""
        num_left = self._draw.begin(logits)
        if num_left < 1:
            return None
        return self._draw.pick(rng.random() if num_left > 1 else 0.0)


def native_draw(params: SamplingParams, vocab_size: int) -> NativeDraw | None:
    """Make the native draw of these parameters, if there is one."""
    stages = stage_names(params)
    if not rows.has_kernel() or not _is_covered(params, stages) or not _agrees():
        return None
    draw = rows.RowDraw(
        vocab_size,
        top_k=max(params.top_k, params.min_keep) if "top_k" in stages else 0,
        top_p=params.top_p if "top_p" in stages else 1.0,
        min_p=math.log(params.min_p) if "min_p" in stages else -math.inf,
        min_keep=params.min_keep,
        temperature=max(params.temperature, float(np.finfo(np.float32).tiny)),
    )
    return NativeDraw(draw)


def _is_covered(params: SamplingParams, stages: list[str]) -> bool:
    is_usual = stages == ["temperature"] or (
        stages[0] == "top_k"
        and stages == [name for name in _COVERED if name in stages]
        and max(params.top_k, params.min_keep) <= rows.MOST_LARGEST
    )
    is_plain = params.mirostat == 0 and params.adaptive_target < 0 and params.dynatemp_range == 0
    return is_usual and is_plain and params.temperature > 0 and not params.tells_drawn


@functools.cache
def _agrees() -> bool:
    """Whether the kernel takes exponentials, and adds up, as this NumPy does: both differ by processor."""
    logits = np.linspace(-100, 0, 8000, dtype=np.float32)
    draw = rows.RowDraw(len(logits), top_k=0, top_p=1, min_p=-math.inf, min_keep=0, temperature=1)
    return draw.begin(logits) > 0 and np.array_equal(draw.reached, reached_by_blocks(np.exp(logits)))
