"""Names of JSON objects in the midst of other text, whose quotes and brackets may mean nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from caravan.engine.constraints.unique_names import UnfinishedName, spelled

_SPACE = b" \t\r\n"
_SCALAR = b"+-.0123456789abcdefghijklmnopqrstuvwxyzE"
_QUOTE, _BACKSLASH, _COMMA, _COLON, _BRACE, _BRACKET = b'"\\,:{['
_BRACE_END, _BRACKET_END = b"}]"


class _Next(Enum):
    """What may come next. OUTSIDE: anything, a brace begins an object; AFTER: a value has ended."""

    OUTSIDE = "outside"
    NAME_OR_END = "name or end"
    NAME = "name"
    IN_NAME = "in name"
    COLON = "colon"
    VALUE = "value"
    VALUE_OR_END = "value or end"
    IN_TEXT = "in text"
    IN_SCALAR = "in scalar"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class NestedNames:
    """What is known of a text so far. What begins with a brace is an object as long as it keeps to JSON.

    Values never change, so that a token can be tried.
    """

    next: _Next = _Next.OUTSIDE
    # The names of each open object, None for an array, the innermost last.
    open: tuple[frozenset[bytes] | None, ...] = ()
    # What has come of a name, with its quote.
    name: bytes = b""
    is_escaped: bool = False

    def after(self, text: bytes) -> "NestedNames | None":
        """What is known once more text has come; None if that says a name for the second time."""
        state = _Scanner(self)
        for byte in text:
            if not state.take(byte):
                return None
        return NestedNames(state.next, state.open, state.name, state.is_escaped)

    @property
    def unfinished(self) -> UnfinishedName | None:
        """The name that comes now or next; None where none has to, or none has come before it."""
        taken = self.open[-1] if self.open else None
        if not taken or self.next not in (_Next.IN_NAME, _Next.NAME):
            return None
        return UnfinishedName(self.name, taken)


class _Scanner:
    def __init__(self, start: NestedNames) -> None:
        self.next = start.next
        self.open = start.open
        self.name = start.name
        self.is_escaped = start.is_escaped
        self._steps: dict[_Next, Callable[[int], bool]] = {
            _Next.OUTSIDE: self._outside,
            _Next.NAME_OR_END: self._name_or_end,
            _Next.NAME: self._begin_name,
            _Next.COLON: self._colon,
            _Next.VALUE: self._value,
            _Next.VALUE_OR_END: self._value_or_end,
            _Next.IN_TEXT: self._in_text,
            _Next.IN_SCALAR: self._in_scalar,
            _Next.AFTER: self._after,
        }

    def take(self, byte: int) -> bool:
        """Whether the text may go on so."""
        if self.next is _Next.IN_NAME:
            return self._in_name(byte)
        if byte in _SPACE and self.next not in (_Next.IN_TEXT, _Next.IN_SCALAR):
            return True
        if not self._steps[self.next](byte):
            self._leave(byte)
        return True

    def _leave(self, byte: int) -> None:
        """It was no JSON after all; what comes now may be."""
        self.next, self.open, self.name, self.is_escaped = _Next.OUTSIDE, (), b"", False
        self._outside(byte)

    def _outside(self, byte: int) -> bool:
        if byte == _BRACE:
            self._begin(frozenset(), _Next.NAME_OR_END)
        return True

    def _begin(self, names: frozenset[bytes] | None, following: _Next) -> None:
        self.open, self.next = (*self.open, names), following

    def _end(self, byte: int) -> bool:
        is_object = self.open[-1] is not None
        if byte != (_BRACE_END if is_object else _BRACKET_END):
            return False
        self.open = self.open[:-1]
        self.next = _Next.AFTER if self.open else _Next.OUTSIDE
        return True

    def _name_or_end(self, byte: int) -> bool:
        return self._begin_name(byte) or self._end(byte)

    def _begin_name(self, byte: int) -> bool:
        if byte != _QUOTE:
            return False
        self.name, self.next = b'"', _Next.IN_NAME
        return True

    def _in_name(self, byte: int) -> bool:
        if byte < _SPACE[0]:
            self._leave(byte)
            return True
        self.name += bytes([byte])
        if not self._closes(byte):
            return True
        name, self.name, self.next = spelled(self.name), b"", _Next.COLON
        names = self.open[-1] or frozenset()
        self.open = (*self.open[:-1], names | {name})
        return name not in names

    def _closes(self, byte: int) -> bool:
        """Whether a byte of a string is the quote that ends it."""
        if self.is_escaped:
            self.is_escaped = False
        elif byte == _BACKSLASH:
            self.is_escaped = True
        else:
            return byte == _QUOTE
        return False

    def _colon(self, byte: int) -> bool:
        self.next = _Next.VALUE
        return byte == _COLON

    def _value(self, byte: int) -> bool:
        if byte == _QUOTE:
            self.next = _Next.IN_TEXT
        elif byte == _BRACE:
            self._begin(frozenset(), _Next.NAME_OR_END)
        elif byte == _BRACKET:
            self._begin(None, _Next.VALUE_OR_END)
        else:
            self.next = _Next.IN_SCALAR
            return byte in _SCALAR
        return True

    def _value_or_end(self, byte: int) -> bool:
        return self._end(byte) or self._value(byte)

    def _in_text(self, byte: int) -> bool:
        if self._closes(byte):
            self.next = _Next.AFTER
        return byte >= _SPACE[0]

    def _in_scalar(self, byte: int) -> bool:
        if byte in _SCALAR:
            return True
        self.next = _Next.AFTER
        return byte in _SPACE or self._after(byte)

    def _after(self, byte: int) -> bool:
        if byte != _COMMA:
            return self._end(byte)
        self.next = _Next.VALUE if self.open[-1] is None else _Next.NAME
        return True
