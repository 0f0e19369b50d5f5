"""Tells an engine that hangs from one that computes for long: arithmetic only, over what is seen once a tick.

A long step on a slow machine uses a processor, or waits for one or for a disk; each of these is progress. A
hang is none of them, or a step that has used many times what the longest one before it did.
"""

from dataclasses import dataclass

from caravan.engine.ipc.messages import Heartbeat
from caravan.runtime.machine import ProcessSample

# Of a tick, what a process may use without doing anything: it answers us.
_IDLE_SHARE = 0.1
# States of threads in /proc: at work, or waiting for a disk; stopped; in the hands of a debugger.
_AT_WORK = frozenset("RD")
_STOPPED = frozenset("T")
_TRACED = frozenset("t")


@dataclass(frozen=True, kw_only=True)
class WatchLimits:
    """All but `tick_seconds` are numbers of ticks: how long a process may be stopped; how long it may give no
    answer, where no thread of it runs, and where one does or nobody can tell, and before its first answer;
    how long nothing may move in a step. Sooner, after `suspicion` ticks in which it is stopped, or
    twice as many of the others, it gets no new work.
    """

    tick_seconds: float = 1.0
    suspicion: int = 2
    stopped: int = 4
    silent: int = 6
    silent_at_work: int = 60
    first_answer: int = 300
    still: int = 10


class Watchdog:
    """Watches one process. `heard` takes its answers, and `tick` is called once a tick, as long as the caller
    itself gets to run: its own delays count for nothing.
    """

    def __init__(self, limits: WatchLimits) -> None:
        self._limits = limits
        self._pulse: Heartbeat | None = None
        self._last: ProcessSample | None = None
        self._turn = -1
        self._cpu_at_turn = 0.0
        self._num_in_turn = 0
        self._num_silent = 0
        self._num_deaf = 0
        self._num_stopped = 0
        self._num_still = 0
        self._is_traced = False

    def heard(self, pulse: Heartbeat) -> None:
        """Note an answer."""
        self._pulse = pulse
        self._num_silent = self._num_deaf = 0

    def tick(self, sample: ProcessSample | None) -> None:
        """Note that a tick has passed; `sample` is what the system tells of the process, if anything."""
        if sample is None and self._pulse is not None:
            sample = ProcessSample(frozenset(), self._pulse.cpu_seconds, 0)
        self._is_traced = sample is not None and bool(sample.states & _TRACED)
        if self._is_traced:
            # Whoever debugs an engine wants to find it afterwards.
            self._num_stopped = self._num_silent = self._num_deaf = 0
            self._num_still = self._num_in_turn = 0
            return
        self._num_silent += 1
        # Nothing in it runs, although it was asked something.
        is_deaf = sample is not None and bool(sample.states) and not sample.states & _AT_WORK
        self._num_deaf = self._num_deaf + 1 if is_deaf else 0
        is_stopped = sample is not None and bool(sample.states) and sample.states <= _STOPPED
        self._num_stopped = self._num_stopped + 1 if is_stopped else 0
        used = 0.0 if sample is None or self._last is None else sample.cpu_seconds - self._last.cpu_seconds
        self._follow_turn(sample)
        self._num_still = self._num_still + 1 if self._is_still(sample, used) else 0
        self._last = sample

    @property
    def is_suspicious(self) -> bool:
        """Whether it had better get no new work for now."""
        # On a machine that is busy, an answer may be late.
        silent = 0 if self._pulse is None else self._num_silent // 2
        counts = (self._num_stopped, silent, self._num_still // 2)
        return self._is_traced or max(counts) >= self._limits.suspicion

    @property
    def fault(self) -> str | None:
        """Why it has to be ended; None as long as it need not."""
        limits, seconds = self._limits, self._limits.tick_seconds
        if self._num_stopped >= limits.stopped:
            return "its process is stopped"
        if self._is_silent:
            return f"it has given no sign for {self._num_silent * seconds:.0f} s"
        if self._num_still >= limits.still:
            return f"nothing has moved in it for {self._num_still * seconds:.0f} s"
        if self._pulse is not None and self._spent > self._pulse.allowance:
            return f"a step has been computing for {self._spent:.0f} s"
        return None

    @property
    def _is_silent(self) -> bool:
        """Whether there has been no answer for so long that there will be none."""
        if self._pulse is None:
            return self._num_silent >= self._limits.first_answer
        return self._num_deaf >= self._limits.silent or self._num_silent >= self._limits.silent_at_work

    @property
    def _spent(self) -> float:
        """Seconds that the present turn has worked, as far as the process got to work."""
        if self._last is None or self._num_in_turn == 0:
            return 0.0
        waited = self._num_in_turn * self._limits.tick_seconds
        return min(waited, self._last.cpu_seconds - self._cpu_at_turn)

    def _follow_turn(self, sample: ProcessSample | None) -> None:
        pulse = self._pulse
        if pulse is None or not pulse.is_busy or pulse.turn != self._turn or sample is None:
            self._turn = -1 if pulse is None or not pulse.is_busy else pulse.turn
            self._num_in_turn = 0
            self._cpu_at_turn = 0.0 if sample is None else sample.cpu_seconds
        else:
            self._num_in_turn += 1

    def _is_still(self, sample: ProcessSample | None, used: float) -> bool:
        """Whether a turn is under way in which nothing at all has happened since the last tick."""
        if self._num_in_turn == 0 or sample is None or self._last is None or not sample.states:
            return False
        moves = sample.num_faults != self._last.num_faults or bool(sample.states & _AT_WORK)
        return not moves and used <= _IDLE_SHARE * self._limits.tick_seconds
