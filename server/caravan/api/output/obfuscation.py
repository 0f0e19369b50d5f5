"""Padding of events: who watches an encrypted stream sees their sizes, and could guess words by them."""

import secrets
import string

import msgspec
from caravan_schemas.sampling import SamplingFields

from caravan.api.output.encoding import json_string

_BLOCK = 16
_LETTERS = string.ascii_letters + string.digits


def wants_padding(request: SamplingFields) -> bool:
    """Whether the chunks of a stream are to be padded."""
    return request.stream_options is not None and bool(request.stream_options.include_obfuscation)


def padded_chunk(data: bytes) -> bytes:
    """A chunk of a completion, padded by what its choice says; one without a choice as it is."""
    choices = msgspec.json.decode(data)["choices"]
    if not choices:
        return data
    (choice,) = choices
    if choice["logprobs"] or choice.get("token_ids"):
        return _padded(data, len(data))
    return _padded(data, _size(choice.get("delta")) + _size(choice.get("text")))


def padded_event(data: bytes) -> bytes:
    """An event of a response, padded if it is a delta."""
    event = msgspec.json.decode(data)
    if not event["type"].endswith(".delta"):
        return data
    return _padded(data, len(data) if event.get("logprobs") else _size(event["delta"]))


def _padded(data: bytes, size: int) -> bytes:
    """Bring the bytes that depend on what is said to a multiple of a block."""
    letters = "".join(secrets.choice(_LETTERS) for _ in range(-size % _BLOCK))
    return b'%b,"obfuscation":"%b"}' % (data[:-1], letters.encode())


def _size(value: object) -> int:
    """Bytes of the texts in a part of an event, whose names are the same in all events of a kind."""
    if isinstance(value, dict):
        return sum(map(_size, value.values()))
    if isinstance(value, list):
        return sum(map(_size, value))
    return len(json_string(value)) if isinstance(value, str) else 0
