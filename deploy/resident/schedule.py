"""Learning rate schedules as factors of the base rate."""

import math
from dataclasses import dataclass
from typing import Literal

Name = Literal["constant", "time", "step", "exponential", "cosine"]


@dataclass(frozen=True)
class Schedule:
    """A linear warm-up over a share of the training, then the named curve over the rest.

    `decay` is what the curve comes down to at the end; "step" multiplies by it, `drops` times on the way.
    """

    name: Name
    warmup: float
    decay: float
    drops: int

    def factor(self, progress: float) -> float:
        """The factor when `progress` (0 to 1) of the training is done."""
        if progress < self.warmup:
            return max(progress, 1e-3) / self.warmup
        rest = min(1.0, (progress - self.warmup) / (1 - self.warmup))
        match self.name:
            case "constant":
                return 1.0
            case "time":
                return 1 / (1 + rest * (1 / self.decay - 1))
            case "step":
                return self.decay ** math.floor(rest * (self.drops + 1))
            case "exponential":
                return self.decay**rest
            case "cosine":
                return self.decay + (1 - self.decay) * 0.5 * (1 + math.cos(math.pi * rest))
