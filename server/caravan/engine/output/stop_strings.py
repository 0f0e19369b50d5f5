"""Stop strings in the text of an answer: those count that stand in its content, not in thoughts or calls."""

from collections.abc import Collection
from enum import Enum

from caravan.engine.params import AnswerLayout, Reasoning, SamplingParams

_WHITESPACE = " \t\r\n"
# An answer that goes on with white space for longer has begun.
_MAX_SPACE = 64


class _Stage(Enum):
    """OPENING: thoughts may begin. BETWEEN: they have ended; empty lines follow, which clients do not see.
    BEGINNING: the answer may begin as calls do. FRAMED: up to a mark.
    """

    OPENING = "opening"
    BETWEEN = "between"
    BEGINNING = "beginning"
    FRAMED = "framed"
    CONTENT = "content"
    CALLS = "calls"


class StopStrings:
    """Text in, in pieces; out comes what can hold no stop string any more.

    The text ends at the `stop_limit`-th occurrence of any stop string; occurrences do not overlap, and the
    one that begins first counts, of two at one place the shorter. The last is left out, unless `include_stop`
    is set; those before stay. One that reaches into a mark of the layout is none.
    """

    def __init__(
        self, params: SamplingParams, reasoning: Reasoning | None = None, layout: AnswerLayout | None = None
    ) -> None:
        self._stop = params.stop
        self._num_left = params.stop_limit
        self._include_stop = params.include_stop
        self._layout = layout or AnswerLayout()
        self._start = reasoning.start if reasoning else ""
        frames = dict(self._layout.frames)
        self._marks: dict[str, str | None] = {**frames, **dict.fromkeys(self._layout.calls)}
        self._frame_end = reasoning.end if reasoning else ""
        self._is_thought = reasoning is not None
        self._stage = self._first_stage(reasoning)
        self._held = ""
        self._num_exempt = 0
        self.found: str | None = None

    @property
    def stopped(self) -> bool:
        """Whether a stop string has ended the text; `found` is the string."""
        return self.found is not None

    def push(self, text: str, *, may_stop: bool = True) -> str:
        """Take a piece and return the text that it lets go; at the string that ends it, `stopped` is set.

        Without `may_stop`, no stop string may begin in it.
        """
        self._held += text
        if not may_stop:
            self._num_exempt = len(self._held)
        return self._passed(is_last=False)

    def finish(self) -> str:
        """Return what was held; no more text comes."""
        return "" if self.stopped else self._passed(is_last=True)

    def _first_stage(self, reasoning: Reasoning | None) -> _Stage:
        if reasoning is None:
            return self._answer_stage()
        return _Stage.FRAMED if reasoning.is_open else _Stage.OPENING

    def _answer_stage(self) -> _Stage:
        if self._layout.is_all_calls:
            return _Stage.CALLS
        return _Stage.BEGINNING if self._layout.begins else _Stage.CONTENT

    def _passed(self, *, is_last: bool) -> str:
        passed = ""
        while self._held:
            before = (self._stage, len(self._held))
            passed += self._step(is_last=is_last)
            if self.stopped or before == (self._stage, len(self._held)):
                break
        return passed

    def _step(self, *, is_last: bool) -> str:
        """Go on as far as the text says how."""
        match self._stage:
            case _Stage.OPENING:
                return self._open(is_last=is_last)
            case _Stage.BETWEEN:
                return self._pass_empty_lines(is_last=is_last)
            case _Stage.BEGINNING:
                return self._begin(is_last=is_last)
            case _Stage.FRAMED:
                return self._end_frame(is_last=is_last)
            case _Stage.CONTENT:
                return self._find(is_last=is_last)
            case _Stage.CALLS:
                return self._let_go(len(self._held))

    def _open(self, *, is_last: bool) -> str:
        begun = self._held.lstrip(_WHITESPACE)
        if begun.startswith(self._start):
            self._stage = _Stage.FRAMED
            return self._let_go(len(self._held) - len(begun) + len(self._start))
        if is_last or not self._start.startswith(begun) or len(self._held) > len(begun) + _MAX_SPACE:
            self._stage = self._answer_stage()
        return ""

    def _pass_empty_lines(self, *, is_last: bool) -> str:
        begun = self._held.lstrip(_WHITESPACE)
        if begun or is_last or len(self._held) > _MAX_SPACE:
            self._stage = self._answer_stage()
        return self._let_go(self._held.rfind("\n", 0, len(self._held) - len(begun)) + 1)

    def _begin(self, *, is_last: bool) -> str:
        begun = self._held.lstrip(_WHITESPACE)
        verdict = self._layout.begins.stands_in(begun) if self._layout.begins else False
        if verdict:
            self._stage = _Stage.CALLS
        elif verdict is False or is_last or len(self._held) > len(begun) + _MAX_SPACE:
            self._stage = _Stage.CONTENT
        return ""

    def _end_frame(self, *, is_last: bool) -> str:
        at = self._held.find(self._frame_end)
        if at < 0:
            tail = 0 if is_last else _longest_beginning(self._held, (self._frame_end,))
            return self._let_go(len(self._held) - tail)
        self._stage = _Stage.BETWEEN if self._is_thought else _Stage.CONTENT
        self._is_thought = False
        return self._let_go(at + len(self._frame_end))

    def _find(self, *, is_last: bool) -> str:
        """Up to the first stop string or mark, or to where one may have begun."""
        mark_at, mark = self._first_mark()
        if mark_at is None:
            mark_at = len(self._held) - (0 if is_last else _longest_beginning(self._held, self._marks))
        found = self._first_stop(mark_at)
        if found is not None:
            return self._stop_at(*found)
        if mark:
            return self._enter(mark_at, mark, is_last=is_last)
        # A stop string is one as soon as no mark can begin in it.
        undecided = self._first_stop(len(self._held))
        ends = [mark_at] if undecided is None else [mark_at, undecided[0]]
        if not is_last:
            ends.append(len(self._held) - _longest_beginning(self._held[self._num_exempt :], self._stop))
        return self._let_go(min(ends))

    def _enter(self, at: int, mark: str, *, is_last: bool) -> str:
        rest = self._held[at:]
        if not is_last and any(len(rest) < len(other) and other.startswith(rest) for other in self._marks):
            return self._let_go(at)
        end = self._marks[mark]
        if end is None:
            self._stage = _Stage.CALLS
        elif end:
            self._stage, self._frame_end = _Stage.FRAMED, end
        return self._let_go(at + len(mark))

    def _stop_at(self, start: int, end: int) -> str:
        self._num_left -= 1
        if self._num_left:
            return self._let_go(end)
        self.found = self._held[start:end]
        passed = self._held[: end if self._include_stop else start]
        self._held = ""
        return passed

    def _let_go(self, count: int) -> str:
        passed, self._held = self._held[:count], self._held[count:]
        self._num_exempt = max(0, self._num_exempt - count)
        return passed

    def _first_mark(self) -> tuple[int | None, str]:
        """Where the first mark stands, of several the longest, and which it is."""
        places = ((self._held.find(mark), mark) for mark in self._marks)
        found = min(((at, -len(mark), mark) for at, mark in places if at >= 0), default=None)
        return (None, "") if found is None else (found[0], found[2])

    def _first_stop(self, end: int) -> tuple[int, int] | None:
        """Where the first stop string before an end starts and ends; of two at one place, the shorter."""
        found = [(self._held.find(string, self._num_exempt, end), len(string)) for string in self._stop]
        start, length = min(((start, length) for start, length in found if start >= 0), default=(-1, 0))
        return None if start < 0 else (start, start + length)


def _longest_beginning(text: str, strings: Collection[str]) -> int:
    """Length of the longest end of `text` that some string begins with."""
    longest = 0
    for string in strings:
        for length in range(min(len(string) - 1, len(text)), longest, -1):
            if text.endswith(string[:length]):
                longest = length
                break
    return longest
