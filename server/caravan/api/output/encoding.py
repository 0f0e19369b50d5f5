"""Documents as the bytes that go out, padded where events are to hide the sizes of words."""

import re
import secrets
import string
from collections.abc import Callable

import msgspec
from caravan_schemas.base import Schema

# JSON, whole or in pieces that follow each other.
Document = bytes | list[bytes]

# Stands for the text while a chunk's constant head and tail are cut out of a real chunk.
_MARK = "\u0001text\u0001"
# Valid in JSON, but a client that splits lines as Unicode does would tear the event there.
_LINE_BREAKS = re.compile("[\x85\u2028\u2029]")
# Events that are padded have a multiple of so many bytes: who watches an encrypted stream sees their sizes.
_BLOCK = 16
_LETTERS = string.ascii_letters + string.digits


def to_json(document: Schema) -> bytes:
    """Write a document as JSON: fields that were not set are left out, nulls that were set are not."""
    return document.model_dump_json(exclude_unset=True).encode()


def to_event(document: Schema) -> bytes:
    """Write a document as JSON with the wire's names, in one line for any reader of lines."""
    return in_one_line(document.model_dump_json(exclude_unset=True, by_alias=True).encode())


def plain_event(document: object) -> bytes:
    """Write what is no schema as JSON, in one line for any reader of lines."""
    return in_one_line(msgspec.json.encode(document))


def json_string(text: str) -> bytes:
    """Write a text as a JSON string that any reader of lines leaves in one piece."""
    return in_one_line(msgspec.json.encode(text))


def in_one_line(encoded: bytes) -> bytes:
    """Escape what some readers of lines take for the end of one, in JSON that is written."""
    if encoded.isascii() or not _LINE_BREAKS.search(text := encoded.decode()):
        return encoded
    return _LINE_BREAKS.sub(_escape, text).encode()


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def head_and_tail(build: Callable[[str], Schema]) -> tuple[bytes, bytes]:
    """Write the JSON around a chunk's text, to be encoded once instead of once per token."""
    head, tail = to_json(build(_MARK)).split(msgspec.json.encode(_MARK))
    return head, tail


def padded_chunk(data: bytes) -> bytes:
    """Pad a chunk of a completion by the size of what its choice says; one without a choice stays."""
    choices = msgspec.json.decode(data)["choices"]
    if not choices:
        return data
    (choice,) = choices
    if choice["logprobs"] or choice.get("token_ids"):
        return _padded(data, len(data))
    return _padded(data, _size(choice.get("delta")) + _size(choice.get("text")))


def padded_event(data: bytes) -> bytes:
    """Pad an event of a response if it is a delta."""
    event = msgspec.json.decode(data)
    if not event["type"].endswith(".delta"):
        return data
    return _padded(data, len(data) if event.get("logprobs") else _size(event["delta"]))


def _padded(data: bytes, size: int) -> bytes:
    """Bring the bytes that depend on what is said to a multiple of a block."""
    letters = "".join(secrets.choice(_LETTERS) for _ in range(-size % _BLOCK))
    return b'%b,"obfuscation":"%b"}' % (data[:-1], letters.encode())


def _size(value: object) -> int:
    """Count the bytes of the texts in a part of an event."""
    if isinstance(value, dict):
        return sum(map(_size, value.values()))
    if isinstance(value, list):
        return sum(map(_size, value))
    return len(json_string(value)) if isinstance(value, str) else 0
