"""Values in JSON, Python and Gemma's notation, turned into JSON while they are read.

Depth costs nothing: nesting is a list, not recursion.
"""

import functools
import json
import re
from dataclasses import dataclass

from caravan.chat.parsing.incremental_reader import SPACE, Markers, Reader, RejectedError, Sink, Steps

_WORD = re.compile(r"[-+.0-9A-Za-z_]*")
_BARE_KEY = re.compile(r"[^\n:,{}\[\]\"']*")
_SCALAR = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?|true|false|null", re.ASCII)
_PLAIN = {quote: re.compile(rf"[^{quote}\\\x00-\x1f\"]*") for quote in "\"'"}
_HEX_DIGITS = {"x": 2, "u": 4, "U": 8}
_HEX = re.compile(r"[0-9a-fA-F]+")
_PYTHON_ESCAPES = {"a": "\a", "v": "\v", "0": "\0", "'": "'", "\n": ""}
_SURROGATES = range(0xD800, 0xE000)
# One of these follows, or nothing.
_BEHIND_STRINGS = ("", ",", ":", ")", "]", "}")
_JSON_ESCAPES = '"\\/bfnrt'


@dataclass(frozen=True)
class Notation:
    """How values are written.

    `strings` are the delimiters of strings: quotes, with escapes in between, or markers, with none.
    `words` are the names of constants, and JSON's. With `has_loose_quotes`, a quote where no string can end
    belongs to it: some templates, and models after them, do not escape those.
    """

    strings: tuple[str, ...] = ('"',)
    words: tuple[tuple[str, str], ...] = ()
    has_bare_keys: bool = False
    has_trailing_commas: bool = False
    has_loose_quotes: bool = False


JSON = Notation()
PYTHON = Notation(
    strings=('"', "'"),
    words=(("True", "true"), ("False", "false"), ("None", "null")),
    has_trailing_commas=True,
    has_loose_quotes=True,
)


def copy_value(reader: Reader, sink: Sink, notation: Notation = JSON) -> Steps[None]:
    """Read one value; the sink gets its JSON as it comes. Raises RejectedError where there is none."""
    closers: list[str] = []
    while True:
        yield from reader.skip_space()
        opened = yield from reader.accept("{", "[")
        if opened:
            sink(opened)
            closers.append("}" if opened == "{" else "]")
        else:
            yield from copy_scalar(reader, sink, notation)
        is_first = bool(opened)
        while closers:
            yield from reader.skip_space()
            if (yield from reader.accept(closers[-1])):
                sink(closers.pop())
                is_first = False
                continue
            if not is_first:
                yield from reader.expect(",")
                yield from reader.skip_space()
                if notation.has_trailing_commas and (yield from reader.peek()) == closers[-1]:
                    continue
                sink(", ")
            if closers[-1] == "}":
                yield from _copy_key(reader, sink, notation)
            break
        else:
            return


def _copy_key(reader: Reader, sink: Sink, notation: Notation) -> Steps[None]:
    yield from reader.skip_space()
    opener = yield from reader.accept(*notation.strings)
    if opener:
        yield from _copy_string(reader, sink, opener, is_loose=notation.has_loose_quotes)
    elif notation.has_bare_keys:
        key = (yield from reader.collect(_BARE_KEY)).strip()
        if not key:
            raise RejectedError
        sink(json.dumps(key, ensure_ascii=False))
    else:
        raise RejectedError
    yield from reader.skip_space()
    yield from reader.expect(":")
    sink(": ")


def copy_scalar(reader: Reader, sink: Sink, notation: Notation = JSON) -> Steps[None]:
    """A string, a number or a constant."""
    opener = yield from reader.accept(*notation.strings)
    if opener:
        yield from _copy_string(reader, sink, opener, is_loose=notation.has_loose_quotes)
        return
    word = yield from reader.collect(_WORD)
    word = dict(notation.words).get(word, word)
    if not _SCALAR.fullmatch(word):
        raise RejectedError
    sink(word)


def copy_object(reader: Reader, sink: Sink) -> Steps[None]:
    """Copy an object; also one that was written as a string, or not at all."""
    yield from reader.skip_space()
    char = yield from reader.peek()
    if char == '"':
        text = yield from read_string(reader)
        if not is_object(text):
            raise RejectedError
        sink(text)
    elif (yield from reader.accept("null")):
        sink("{}")
    elif char == "{":
        yield from copy_value(reader, sink)
    else:
        raise RejectedError


def read_string(reader: Reader) -> Steps[str]:
    """A JSON string, decoded."""
    yield from reader.expect('"')
    pieces: list[str] = []
    yield from _copy_string(reader, pieces.append, '"')
    return str(json.loads("".join(pieces)))


def _copy_string(reader: Reader, sink: Sink, delimiter: str, *, is_loose: bool = False) -> Steps[None]:
    sink('"')
    if delimiter in _PLAIN:
        yield from _copy_quoted(reader, sink, delimiter, is_loose=is_loose)
    else:
        found = yield from reader.until(_delimiter(delimiter), lambda text: sink(escaped(text)))
        if not found:
            raise RejectedError
    sink('"')


def _copy_quoted(reader: Reader, sink: Sink, quote: str, *, is_loose: bool) -> Steps[None]:
    while True:
        yield from reader.run(_PLAIN[quote], sink)
        char = yield from reader.exactly(1)
        if char == quote:
            if not is_loose:
                return
            space = yield from reader.collect(SPACE)
            if (yield from reader.peek()) in _BEHIND_STRINGS:
                return
            sink(escaped(quote + space))
            continue
        if char == "\\":
            sink((yield from _escape(reader)))
        else:
            # The other kind of quote, or a control character that should have been escaped.
            sink(escaped(char))


def _escape(reader: Reader) -> Steps[str]:
    """The JSON of what follows a backslash; models mix up the escapes of JSON and Python, so both count."""
    char = yield from reader.exactly(1)
    if char in _JSON_ESCAPES:
        return "\\" + char
    if char in _HEX_DIGITS:
        digits = yield from reader.exactly(_HEX_DIGITS[char])
        if not _HEX.fullmatch(digits) or int(digits, 16) > 0x10FFFF:
            raise RejectedError
        # Half of a pair has to remain an escape: no text can hold it.
        return f"\\u{digits[-4:]}" if int(digits, 16) in _SURROGATES else escaped(chr(int(digits, 16)))
    if char in _PYTHON_ESCAPES:
        return escaped(_PYTHON_ESCAPES[char])
    return escaped("\\" + char)


@functools.cache
def _delimiter(text: str) -> Markers:
    return Markers(text)


def converted(text: str, notation: Notation) -> str | None:
    """The JSON of a text that is one value, white space aside; None if it is not."""
    reader = Reader()
    reader.feed(text)
    reader.end()
    pieces: list[str] = []
    try:
        for _ in _copy_whole(reader, pieces.append, notation):
            raise AssertionError("all of the text is there")
    except RejectedError:
        return None
    return "".join(pieces)


def _copy_whole(reader: Reader, sink: Sink, notation: Notation) -> Steps[None]:
    yield from copy_value(reader, sink, notation)
    yield from reader.skip_space()
    if (yield from reader.peek()):
        raise RejectedError


def escaped(text: str) -> str:
    """A text as it stands inside a JSON string."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def is_object(text: str) -> bool:
    """Whether a text is the JSON of an object."""
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
