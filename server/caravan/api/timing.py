"""How long the parts of an answer took, where a protocol tells that."""

import time
from dataclasses import dataclass

from caravan.engine.outputs import TokenOutput


@dataclass
class ChoiceTimes:
    """Moments of one choice, on the monotonic clock, and the wait of its prompt in the engine's queue."""

    submitted: float = 0.0
    first: float = 0.0
    last: float = 0.0
    queued: float = 0.0

    def output(self, output: TokenOutput) -> None:
        """Note an output of the engine."""
        self.last = time.monotonic()
        if not self.first:
            self.first, self.queued = self.last, output.queue_seconds or 0.0

    @property
    def prompt_seconds(self) -> float:
        """From the prompt's turn to the first token."""
        return max(0.0, self.first - self.submitted - self.queued)

    @property
    def answer_seconds(self) -> float:
        """From the first token to the last."""
        return self.last - self.first
