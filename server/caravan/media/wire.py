"""What crosses the socket between the server and an encoder: a length, then MessagePack."""

import socket
import struct

import msgspec

from caravan.runtime.children import read_exactly

LENGTH = struct.Struct("<Q")


class Open(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The first message: what the process is for, and its limits."""

    model_path: str
    projector_path: str
    num_threads: int
    use_gpu: bool
    max_pixels: int
    max_seconds_of_sound: float
    memory_bytes: int


class Read(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Encode `data`, and write the embeddings into the new file `path`."""

    kind: str
    detail: str
    data: bytes
    path: str


class Opened(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The projector is loaded, and reads these kinds."""

    modalities: tuple[str, ...]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Embeddings of `num_cells`, from byte `offset` of the file on."""

    num_cells: int
    num_positions: int
    key: bytes
    is_causal: bool
    positions: bytes
    offset: int
    width: int


class Encoded(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The input's chunks, in their order: token ids of the projector, and runs. The file has `num_bytes`."""

    chunks: tuple[tuple[int, ...] | Run, ...]
    num_bytes: int


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The input is at fault."""

    message: str


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The encoder is at fault, or the projector."""

    message: str


ToEncoder = Open | Read
FromEncoder = Opened | Encoded | Refused | Failed

_encoder = msgspec.msgpack.Encoder()
_to_encoder = msgspec.msgpack.Decoder(ToEncoder)
_from_encoder = msgspec.msgpack.Decoder(FromEncoder)


def encode(message: ToEncoder | FromEncoder) -> bytes:
    """The message with its length before it."""
    body = _encoder.encode(message)
    return LENGTH.pack(len(body)) + body


def from_encoder(body: bytes) -> FromEncoder:
    """A message to the server."""
    message: FromEncoder = _from_encoder.decode(body)
    return message


def receive(connection: socket.socket) -> ToEncoder | None:
    """Wait for the next message to the encoder; None when the server is gone."""
    prefix = read_exactly(connection, LENGTH.size)
    if prefix is None:
        return None
    body = read_exactly(connection, *LENGTH.unpack(prefix))
    if body is None:
        return None
    message: ToEncoder = _to_encoder.decode(body)
    return message
