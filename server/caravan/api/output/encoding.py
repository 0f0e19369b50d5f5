"""Documents as the bytes that go out."""

import re
from collections.abc import Callable

import msgspec
from caravan_schemas.base import Schema

# JSON, whole or in pieces that follow each other.
Document = bytes | list[bytes]

# Stands for the text while a chunk's constant head and tail are cut out of a real chunk.
_MARK = "\u0001text\u0001"
# Valid in JSON, but a client that splits lines as Unicode does would tear the event there.
_LINE_BREAKS = re.compile("[\x85\u2028\u2029]")


def to_json(document: Schema) -> bytes:
    """The wire form: fields that the builder left out stay out, nulls that it set stay in."""
    return document.model_dump_json(exclude_unset=True).encode()


def to_event(document: Schema) -> bytes:
    """The same by the names of the wire, as one line for any reader of lines."""
    encoded = document.model_dump_json(exclude_unset=True, by_alias=True)
    if not encoded.isascii() and _LINE_BREAKS.search(encoded):
        encoded = _LINE_BREAKS.sub(_escape, encoded)
    return encoded.encode()


def json_string(text: str) -> bytes:
    """A JSON string that any reader of lines leaves in one piece."""
    encoded = msgspec.json.encode(text)
    if text.isascii() or not _LINE_BREAKS.search(text):
        return encoded
    return _LINE_BREAKS.sub(_escape, encoded.decode()).encode()


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def head_and_tail(build: Callable[[str], Schema]) -> tuple[bytes, bytes]:
    """A chunk's JSON around its text, to be encoded once instead of once per token."""
    head, tail = to_json(build(_MARK)).split(msgspec.json.encode(_MARK))
    return head, tail
