"""How many tokens fit into one step, learned from the steps themselves."""

import time
from collections.abc import Callable

# Batch sizes that are tried and remembered. A batch costs much less than its tokens would one by one, by a
# factor that depends on the machine and the model, so each size is measured, not computed from another. On
# CPUs, llama.cpp's attention works in tiles of 64 rows, and row by row on what is left over.
_SIZES = (16, 32, 64, 128, 192, 256, 384, 512, 1024, 2048)
_FIRST_GUESS = 64
# What a size cost is believed this long; then a larger one may be tried again, as neighbours come and go.
_BELIEVED_SECONDS = 10.0
_MEMORY = 0.7
# A larger chunk costs at most this much of what its additional tokens would at the smaller one's rate.
_ECONOMY = 0.75
# A size that is not known may be tried, now and then, if it would not take longer than this.
_TRIAL = 1.5


class StepClock:
    """Remembers what batches of several sizes took, and finds the largest that keeps the pace."""

    def __init__(self, step_seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._step_seconds = step_seconds
        self._now = now
        self._seconds: dict[int, tuple[float, float]] = {}

    def observe(self, num_tokens: int, seconds: float) -> None:
        """Learn from a step that computed so many tokens, some of them of prompts."""
        size = max((size for size in _SIZES if size <= num_tokens), default=0)
        if size:
            old = self._known(size)
            new = seconds * size / num_tokens
            kept = new if old is None else _MEMORY * old + (1 - _MEMORY) * new
            self._seconds[size] = (kept, self._now())

    def budget(self) -> int:
        """Tokens of a batch that keeps a step within its time; never so few that prompts stand still."""
        known = {size: seconds for size in _SIZES if (seconds := self._known(size)) is not None}
        if not known:
            return _FIRST_GUESS
        best = _SIZES[0]
        reference = min(known)
        for size in _SIZES:
            if size in known:
                reference = size
                fits = known[size] <= self._step_seconds
            else:
                expected = known[reference] * (1 + (size / reference - 1) * _ECONOMY)
                fits = expected <= _TRIAL * self._step_seconds
            if fits:
                best = size
        return best

    def _known(self, size: int) -> float | None:
        """What steps of this size took lately."""
        seconds, when = self._seconds.get(size, (0.0, float("-inf")))
        return seconds if self._now() - when <= _BELIEVED_SECONDS else None
