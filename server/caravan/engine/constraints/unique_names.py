"""Names of JSON objects under way: a grammar cannot know which of them have come before."""

import json
from dataclasses import dataclass

_OPENING, _CLOSING = b"{[", b"}]"
_QUOTE, _BACKSLASH, _COMMA, _BRACE = b'"\\,{'

# The names of each open object, None for an array, the innermost last.
_Open = tuple[frozenset[bytes] | None, ...]


@dataclass(frozen=True, slots=True)
class UnfinishedName:
    """What has come of a name, with its quote, or nothing yet; and the names that it may not become."""

    begun: bytes
    taken: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class UniqueNames:
    """What is known of a JSON text so far; whatever stands outside of its values does not matter.

    Values never change, so that a token can be tried.
    """

    open: _Open = ()
    # What has come of a name, with its quote; None outside of names.
    name: bytes | None = None
    is_text: bool = False
    is_escaped: bool = False
    expects_name: bool = False

    def after(self, text: bytes) -> "UniqueNames | None":
        """What is known once more text has come; None if that says a name for the second time."""
        state = _Scanner(self)
        for byte in text:
            if not state.take(byte):
                return None
        return UniqueNames(state.open, state.name, state.is_text, state.is_escaped, state.expects_name)

    @property
    def unfinished(self) -> "UnfinishedName | None":
        """The name that comes now or next; None where none has to, or none has come before it."""
        taken = self.open[-1] if self.open else None
        if not taken or (self.name is None and not self.expects_name):
            return None
        return UnfinishedName(self.name or b"", taken)


class _Scanner:
    def __init__(self, start: UniqueNames) -> None:
        self.open = start.open
        self.name = start.name
        self.is_text = start.is_text
        self.is_escaped = start.is_escaped
        self.expects_name = start.expects_name

    def take(self, byte: int) -> bool:
        if self.is_text:
            return self._take_text(byte)
        if byte == _QUOTE and self.open:
            self.is_text = True
            if self.expects_name:
                self.name, self.expects_name = b'"', False
        elif byte in _OPENING:
            self.open = (*self.open, frozenset() if byte == _BRACE else None)
            self.expects_name = byte == _BRACE
        elif byte in _CLOSING:
            self.open = self.open[:-1]
            self.expects_name = False
        elif byte == _COMMA:
            self.expects_name = bool(self.open) and self.open[-1] is not None
        return True

    def _take_text(self, byte: int) -> bool:
        if self.name is not None:
            self.name += bytes([byte])
        if self.is_escaped:
            self.is_escaped = False
        elif byte == _BACKSLASH:
            self.is_escaped = True
        elif byte == _QUOTE:
            self.is_text = False
            return self._end_name()
        return True

    def _end_name(self) -> bool:
        if self.name is None:
            return True
        name, self.name = spelled(self.name), None
        names = self.open[-1] or frozenset()
        if name in names:
            return False
        self.open = (*self.open[:-1], names | {name})
        return True


def spelled(quoted: bytes) -> bytes:
    """A name in the one spelling that stands for all of its spellings, that of grammars, with its quotes."""
    text = quoted.decode("utf-8", "replace")
    try:
        return json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8", "surrogatepass")
    except ValueError:
        return quoted
