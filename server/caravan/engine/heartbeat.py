"""What the engine's thread is at, noted by itself and told by another: the one that hangs cannot answer."""

import time

from caravan.engine.ipc.messages import Heartbeat

# One step may take so many times as long as the longest before it, and always so many seconds. Before the
# first stands that of a first prompt; then steps grow with contexts, and none is many times the last.
_GROWTH = 20.0
_LEAST_SECONDS = 10.0
# To load a model, and to compute the first prompt, by which all others are measured.
_LOAD_SECONDS = 3600.0


class HeartbeatClock:
    """Written by the engine's thread, read by any. Times count as far as the process got to work in them: a
    machine that is busy with others, or reads weights from its disk, does not make a step longer.
    """

    def __init__(self) -> None:
        self._turn = 0
        self._is_busy = True
        self._longest: float | None = None
        self._least = _LEAST_SECONDS
        self._since = (time.monotonic(), time.process_time())

    def begin(self) -> None:
        """Note that something else is begun that is no step, such as to load the model."""
        self._turn += 1
        self._is_busy = True
        self._since = (time.monotonic(), time.process_time())

    def beat(self) -> None:
        """Note that a step has ended, and another is begun."""
        self._note()
        self.begin()

    def rest(self) -> None:
        """Note that a step has ended, and there is nothing to do."""
        self._note()
        self._is_busy = False

    def allow(self, seconds: float) -> None:
        """Let any step take so long: for those whose length says nothing about the next."""
        self._least = max(self._least, seconds)

    def pulse(self) -> Heartbeat:
        """Tell how things stand."""
        longest = self._longest
        return Heartbeat(
            turn=self._turn,
            is_busy=self._is_busy,
            allowance=_LOAD_SECONDS if longest is None else max(self._least, _GROWTH * longest),
            cpu_seconds=time.process_time(),
        )

    def _note(self) -> None:
        if self._is_busy:
            began, used = self._since
            spent = min(time.monotonic() - began, time.process_time() - used)
            self._longest = max(self._longest or 0.0, spent)
