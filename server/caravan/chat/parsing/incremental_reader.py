"""Reading a text that is still being written: parsers are generators that pause where it ends so far.

What they decide depends on the text alone, never on how it was split; what was decided is not read again.
"""

import re
from collections.abc import Callable, Generator
from typing import TypeVar

from caravan.grammars.call_prefix import CallPrefix

T = TypeVar("T")
Steps = Generator[None, None, T]
Sink = Callable[[str], None]

SPACE = re.compile(r"[ \t\r\n]*")


class RejectedError(Exception):
    """The text is not, or at its end not yet, what it began to look like."""


class Reader:
    """The text not read so far. With `taken` set, everything that is read is kept there, too.

    `is_starved` says that something wanted more text than there is in all. What may have become a marker, had
    the text not ended, is text unless `keeps_unfinished` is off.
    """

    def __init__(self) -> None:
        self.taken: list[str] | None = None
        self._text = ""
        self._at = 0
        self._is_ended = False
        self.is_starved = False
        self.keeps_unfinished = True

    def feed(self, text: str) -> None:
        self._text = self._text[self._at :] + text
        self._at = 0

    def end(self) -> None:
        self._is_ended = True

    def take(self, count: int) -> str:
        """The next characters, which are known to be there."""
        piece = self._text[self._at : self._at + count]
        self._at += count
        if self.taken is not None:
            self.taken.append(piece)
        return piece

    def drop_rest(self) -> None:
        """Leave the text that is there unread."""
        self._at = len(self._text)

    def _more(self) -> Steps[bool]:
        """Wait for text; False when none comes any more."""
        if not self._is_ended:
            yield
        self.is_starved = self._is_ended
        return not self._is_ended

    def peek(self) -> Steps[str]:
        """The next character, left in place; empty at the end."""
        while self._at == len(self._text):
            if not (yield from self._more()):
                return ""
        return self._text[self._at]

    def begins(self, beginning: CallPrefix) -> Steps[bool]:
        """Whether the text goes on with this beginning; nothing is read."""
        while (verdict := beginning.stands_in(self._text[self._at :])) is None:
            if not (yield from self._more()):
                return False
        return verdict

    def exactly(self, count: int) -> Steps[str]:
        while len(self._text) - self._at < count:
            if not (yield from self._more()):
                raise RejectedError
        return self.take(count)

    def run(self, pattern: re.Pattern[str], sink: Sink) -> Steps[None]:
        """All that goes on matching a pattern of the form `[...]*`."""
        while True:
            match = pattern.match(self._text, self._at)
            if match and match.end() > self._at:
                sink(self.take(match.end() - self._at))
            if self._at < len(self._text) or not (yield from self._more()):
                return

    def collect(self, pattern: re.Pattern[str]) -> Steps[str]:
        """`run`, as one text."""
        pieces: list[str] = []
        yield from self.run(pattern, pieces.append)
        return "".join(pieces)

    def skip_space(self) -> Steps[None]:
        yield from self.run(SPACE, _ignore)

    def accept(self, *literals: str) -> Steps[str]:
        """The longest of the literals that stands here, which is then read; empty if none does."""
        longest = max(map(len, literals))
        while True:
            ahead = self._text[self._at : self._at + longest]
            if not any(len(ahead) < len(literal) and literal.startswith(ahead) for literal in literals):
                break
            if not (yield from self._more()):
                break
        found = max((literal for literal in literals if ahead.startswith(literal)), key=len, default="")
        self.take(len(found))
        return found

    def expect(self, *literals: str) -> Steps[str]:
        """`accept`, where one of them has to stand."""
        found = yield from self.accept(*literals)
        if not found:
            raise RejectedError
        return found

    def until(self, markers: "Markers", sink: Sink) -> Steps[str]:
        """Pass on what stands before the first of the markers, and read that; empty if none came."""
        while True:
            match = markers.pattern.search(self._text, self._at)
            if match:
                if match.start() > self._at:
                    sink(self.take(match.start() - self._at))
                return self.take(len(match[0]))
            safe = markers.safe_end(self._text, self._at)
            if safe > self._at:
                sink(self.take(safe - self._at))
            if not (yield from self._more()):
                rest = self.take(len(self._text) - self._at)
                if rest and self.keeps_unfinished:
                    sink(rest)
                return ""

    def text_before(self, marker: str) -> Steps[str]:
        """Read a text and the marker behind it. Raises RejectedError if that does not come."""
        pieces: list[str] = []
        if not (yield from self.until(Markers(marker), pieces.append)):
            raise RejectedError
        return "".join(pieces)

    def forget(self) -> None:
        """Empty `taken`: what is in it has become a call."""
        if self.taken is not None:
            self.taken.clear()


class Markers:
    """Texts to look for. None of them is the beginning of another."""

    def __init__(self, *texts: str) -> None:
        self.texts = texts
        self.pattern = re.compile("|".join(map(re.escape, texts)) or r"(?!)")
        self._longest = max(map(len, texts), default=0)

    def safe_end(self, text: str, start: int) -> int:
        """Find where a marker may have begun whose rest is still to come; else the end of the text."""
        for at in range(max(start, len(text) - self._longest + 1), len(text)):
            if any(marker.startswith(text[at:]) for marker in self.texts):
                return at
        return len(text)


def _ignore(_: str) -> None:
    """Drop what is read."""
