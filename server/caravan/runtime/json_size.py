"""How large a JSON text is once it is read, counted in C before a reader makes objects of it.

A reader takes some 400 bytes and a tenth of a microsecond for each `[`, so that four megabytes of them would
take half a gigabyte, and the interpreter's lock for half a second.
"""

from dataclasses import dataclass

from caravan.errors import InvalidRequestError

# Beyond any conversation, list of texts, array of token ids or JSON schema.
MAX_CONTAINERS = 65_536
# An object of many is read in one go, which takes a microsecond for each of them.
MAX_NAMES = 65_536
MAX_STRINGS = 131_072
MAX_VALUES = 524_288

# What a reader's object of each kind takes of memory, roughly.
_CONTAINER_BYTES = 800
_STRING_BYTES = 100
_VALUE_BYTES = 40


@dataclass(frozen=True)
class JsonSize:
    """How many there are in a text, or more: arrays and objects, names in objects, texts and names together,
    and values of any kind.
    """

    num_containers: int
    num_names: int
    num_strings: int
    num_values: int

    @property
    def num_bytes(self) -> int:
        """Memory that they take once they have been read, without the characters."""
        return (
            self.num_containers * _CONTAINER_BYTES
            + self.num_strings * _STRING_BYTES
            + self.num_values * _VALUE_BYTES
        )


def checked_size(written: bytes) -> JsonSize:
    """Count what is in a text. Raises InvalidRequestError where it is too much.

    The text need not be valid: as far as a reader will come, nothing is missed.
    """
    size = _size(written, written.count(b'"'))
    if _is_fine(size):
        # What stands in texts has been counted, too.
        return size
    bare = written.replace(b"\\\\", b"").replace(b'\\"', b"")
    num_quotes = bare.count(b'"')
    _check("texts and names", num_quotes // 2, MAX_STRINGS)
    size = _size(b'"'.join(bare.split(b'"')[::2]), num_quotes)
    _check("arrays and objects", size.num_containers, MAX_CONTAINERS)
    _check("names", size.num_names, MAX_NAMES)
    _check("values", size.num_values, MAX_VALUES)
    return size


def _size(text: bytes, num_quotes: int) -> JsonSize:
    num_containers = text.count(b"[") + text.count(b"{")
    # Each value but the first of a container stands after a comma.
    return JsonSize(num_containers, text.count(b":"), num_quotes // 2, text.count(b",") + num_containers)


def _is_fine(size: JsonSize) -> bool:
    return (
        size.num_containers <= MAX_CONTAINERS
        and size.num_names <= MAX_NAMES
        and size.num_strings <= MAX_STRINGS
        and size.num_values <= MAX_VALUES
    )


def _check(what: str, count: int, limit: int) -> None:
    if count > limit:
        message = f"The JSON has {count} {what}; at most {limit} are read."
        raise InvalidRequestError(message, code="too_many_values")
