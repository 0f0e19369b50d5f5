"""What a constraint may cost the engine: a step that works out a mask is a step that all streams wait for."""

import re
import time

# Processor seconds. A usual mask takes well under a millisecond; a grammar that can be read in many ways
# takes ever more, the longer the text.
_AT_ONCE = 1.0
_PER_TOKEN = 0.01

_REASONS = (
    (
        re.compile(r"Current row has \d+ items; max is (\d+)"),
        "its grammar can be read in too many ways here: more than {} parts of rules are open at once",
    ),
    (
        re.compile(r"Too many items \(limit (\d+);"),
        "its grammar can be read in too many ways here: finding the next token takes more than {} steps",
    ),
    (
        re.compile(r"too many states: \d+ >= (\d+)"),
        "its regular expressions are too complex here: they have come to more than {} states",
    ),
    (re.compile(r"fuel|too many expressions"), "its regular expressions are too complex to go on with"),
)


class TooCostlyError(Exception):
    """The constraint has used up its processor time."""


class CpuBudget:
    """Processor time that the constraint of one sequence may still take on the threads that work it out."""

    def __init__(self) -> None:
        self._seconds = _AT_ONCE

    def spend(self, started: float) -> None:
        """Book what this thread has worked since `started`, a time of `time.thread_time`."""
        self._seconds -= time.thread_time() - started

    def begin_token(self) -> None:
        """Allow for another token; raises TooCostlyError if too much has been spent before."""
        if self._seconds < 0:
            raise TooCostlyError(
                "its grammar can be read in too many ways: finding what may come next took more than"
                f" {_PER_TOKEN * 1000:g} ms a token and {_AT_ONCE:g} s of processor time"
            )
        self._seconds = min(self._seconds + _PER_TOKEN, _AT_ONCE)


def in_words(fault: str) -> str:
    """Say what llguidance says of a matcher that cannot go on, for those who wrote the grammar."""
    for pattern, words in _REASONS:
        found = pattern.search(fault)
        if found is not None:
            return words.format(*found.groups())
    return f"it has come to a dead end: {fault.split(chr(10), 1)[0]}"
