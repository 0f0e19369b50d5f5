"""What a replica has to do, and how many replicas that is work for."""

import math
import time
from collections.abc import Callable

# Beyond this, what was measured long ago counts for half.
_MEMORY_SECONDS = 30.0


class WorkMeter:
    """The requests of one replica: tokens of prompts that wait, choices that are drawn, speed of prompts.

    Speed is tokens computed over the time in which any waited, so that idle times do not count.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: dict[str, int] = {}
        self._running: dict[str, int] = {}
        self._num_computed = 0.0
        self._busy_seconds = 0.0
        self._busy_since: float | None = None

    def begin(self, request_id: str, num_tokens: int, num_choices: int) -> None:
        """Note a request whose prompt waits: so many tokens of it are not in memory."""
        if not self._waiting:
            self._busy_since = self._clock()
        self._waiting[request_id] = num_tokens
        self._running[request_id] = num_choices

    def first_token(self, request_id: str, num_computed: int) -> None:
        """Note that its prompt has been computed, so much of it anew; later calls do nothing."""
        if self._stop_waiting(request_id):
            self._num_computed += num_computed

    def end(self, request_id: str) -> None:
        """Note that it has ended, wherever it was."""
        self._stop_waiting(request_id)
        self._running.pop(request_id, None)

    @property
    def waiting_tokens(self) -> int:
        """Tokens of prompts that are not computed yet."""
        return sum(self._waiting.values())

    @property
    def num_running(self) -> int:
        """Choices whose prompts are computed."""
        return sum(count for name, count in self._running.items() if name not in self._waiting)

    @property
    def tokens_per_second(self) -> float:
        """How fast prompts are computed; 0 where too little has been seen."""
        return self._num_computed / self._busy_seconds if self._busy_seconds > 0 else 0.0

    def _stop_waiting(self, request_id: str) -> bool:
        if self._waiting.pop(request_id, None) is None or self._busy_since is None:
            return False
        now = self._clock()
        self._busy_seconds += now - self._busy_since
        self._busy_since = now if self._waiting else None
        if self._busy_seconds > _MEMORY_SECONDS:
            self._busy_seconds /= 2
            self._num_computed /= 2
        return True


def wanted_replicas(
    *,
    waiting_tokens: float,
    num_running: float,
    tokens_per_second: float,
    first_token_seconds: float,
    max_running: int,
) -> int | None:
    """How many replicas compute what waits within the wished time, and have room for what runs.

    `tokens_per_second` is the speed of one. None where that is not known yet, so that nothing can be said.
    """
    for_running = math.ceil(num_running / max(1, max_running))
    if not waiting_tokens:
        return for_running
    if not tokens_per_second:
        return None
    return max(for_running, math.ceil(waiting_tokens / (tokens_per_second * first_token_seconds)))
