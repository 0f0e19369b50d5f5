"""The form of a file: a head, the tokens, and the bytes that cells are filled with.

The head covers itself and the tokens by a digest, so that a file is known without its bytes being read; these
have a digest of their own.
"""

import hashlib
import os
import struct
from typing import NamedTuple

from caravan.engine.kv.disk.chunks import MARK_BYTES, NAME_BYTES, Chunk, name_of

# The number at its end is that of the form. Files of another one are removed.
_MAGIC = b"caravan-kv-2\n\0\0\0"
_DIGEST_BYTES = 16
# Parent, start, tokens, place of the mark, its bytes, whether it is there; bytes of the body, their digest.
_FIELDS = struct.Struct(f"<{NAME_BYTES}sIII{MARK_BYTES}s?Q{_DIGEST_BYTES}s")
HEAD_SIZE = len(_MAGIC) + _DIGEST_BYTES + _FIELDS.size
_MAX_TOKENS = 1 << 24
_BLOCK = 4096


class BadFileError(Exception):
    """A file is not whole, or not of this form."""


class Head(NamedTuple):
    """What a file says of itself."""

    chunk: Chunk
    body_size: int
    body_digest: bytes

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return HEAD_SIZE + len(self.chunk.tokens) + self.body_size

    def check(self, body: memoryview) -> None:
        """Raise BadFileError over a body that is not the one that was written."""
        if len(body) != self.body_size or digest(body) != self.body_digest:
            raise BadFileError("its bytes are not those that were written")


def digest(*parts: bytes | memoryview) -> bytes:
    """Hash parts of a file, without the interpreter's lock where they are long."""
    found = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for part in parts:
        found.update(part)
    return found.digest()


def write_head(chunk: Chunk, body: memoryview) -> bytes:
    """Write all that comes before the body."""
    mark = chunk.mark.ljust(MARK_BYTES, b"\0")
    fields = _FIELDS.pack(
        chunk.parent,
        chunk.start,
        chunk.count,
        chunk.mark_at,
        mark,
        chunk.is_marked,
        len(body),
        digest(body),
    )
    return _MAGIC + digest(fields, chunk.tokens) + fields + chunk.tokens


def num_tokens(beginning: bytes) -> int:
    """Tell how many bytes of tokens follow the first HEAD_SIZE bytes of a file. Raises BadFileError."""
    if len(beginning) < HEAD_SIZE or not beginning.startswith(_MAGIC):
        raise BadFileError("it does not begin as a file of this form")
    count = _fields(beginning)[2]
    if not 0 < count <= _MAX_TOKENS:
        raise BadFileError("it has no number of tokens that could be")
    return 4 * int(count)


def read_head(descriptor: int) -> Head:
    """Read a file as far as the bytes of its tokens. Raises BadFileError and OSError."""
    beginning = os.read(descriptor, HEAD_SIZE)
    tokens = os.read(descriptor, num_tokens(beginning))
    fields = beginning[len(_MAGIC) + _DIGEST_BYTES : HEAD_SIZE]
    if len(tokens) != num_tokens(beginning) or digest(fields, tokens) != _head_digest(beginning):
        raise BadFileError("its head is not the one that was written")
    parent, start, _, mark_at, mark, is_marked, body_size, body_digest = _fields(beginning)
    mark = mark if is_marked else b""
    name = name_of(parent, tokens, mark_at, mark)
    return Head(Chunk(name, parent, start, tokens, mark_at, mark, body_size), body_size, body_digest)


def on_disk(size: int) -> int:
    """Tell what a file of so many bytes takes."""
    return -(-size // _BLOCK) * _BLOCK


def _fields(beginning: bytes) -> tuple[bytes, int, int, int, bytes, bool, int, bytes]:
    return _FIELDS.unpack_from(beginning, len(_MAGIC) + _DIGEST_BYTES)


def _head_digest(beginning: bytes) -> bytes:
    return beginning[len(_MAGIC) : len(_MAGIC) + _DIGEST_BYTES]
