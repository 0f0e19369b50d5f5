"""What crosses the border between the server and the engine's process: length, then MessagePack.

Requests cross it as they are.
"""

import struct

import msgspec

from caravan.config.engine_config import EngineConfig
from caravan.engine.block_events import BlockEvent
from caravan.engine.embedding.values import EmbedOutput, EmbedRequest, ModelTraits
from caravan.engine.outputs import EngineStats, TokenOutput
from caravan.engine.params import GenerationRequest
from caravan.sizing.sizes import Sizes

_LENGTH = struct.Struct("<I")
LENGTH_SIZE = _LENGTH.size


class Load(msgspec.Struct, frozen=True, tag=True):
    """The first message to a child: what to load. `log_level` is a level of `logging`."""

    config: EngineConfig
    log_level: int


class Abort(msgspec.Struct, frozen=True, tag=True):
    """End a request."""

    request_id: str


class EndThoughts(msgspec.Struct, frozen=True, tag=True):
    """Have the choices of a request that are thinking begin to answer."""

    request_id: str


class WatchBlocks(msgspec.Struct, frozen=True, tag=True):
    """Tell of whole blocks: all there are, and what changes. Their chains begin with `root`."""

    root: bytes
    block_size: int


class UnwatchBlocks(msgspec.Struct, frozen=True, tag=True):
    """Tell of blocks no longer."""


class AddAdapter(msgspec.Struct, frozen=True, tag=True):
    """Load a LoRA adapter under a name, and say what came of it."""

    name: str
    path: str


class RemoveAdapter(msgspec.Struct, frozen=True, tag=True):
    """Forget an adapter unless some request uses it, and say what came of it."""

    name: str


class AdapterChanged(msgspec.Struct, frozen=True, tag=True):
    """An adapter is there, or gone, as was asked; or why that is not so."""

    name: str
    fault: str | None


class Ping(msgspec.Struct, frozen=True, tag=True):
    """Asks for a sign of life, a Heartbeat."""


class Heartbeat(msgspec.Struct, frozen=True, tag=True):
    """The engine is in turn number `turn`, or waits for work where it is not `is_busy`.

    A turn that works for longer than `allowance` seconds will not end. `cpu_seconds` is what the whole
    process has used of processors.
    """

    turn: int
    is_busy: bool
    allowance: float
    cpu_seconds: float


class Stop(msgspec.Struct, frozen=True, tag=True):
    """End the engine."""


class Opened(msgspec.Struct, frozen=True, tag=True):
    """llama.cpp has read the vocabulary and lived: others may open the file, too."""


class Loaded(msgspec.Struct, frozen=True, tag=True):
    """The weights are in memory, the first prompt is about to run: a death now is the build's fault."""


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The first prompt came out well; requests may come."""

    sizes: Sizes
    system_info: str
    traits: ModelTraits
    missing_adapters: tuple[str, ...] = ()


class StartFailed(msgspec.Struct, frozen=True, tag=True):
    """The model cannot be served, and trying again would not help."""

    message: str


class FileChanged(msgspec.Struct, frozen=True, tag=True):
    """The weights in memory are not those that were loaded; the engine ends."""


class Logged(msgspec.Struct, frozen=True, tag=True):
    """A line for the log; `level` is one of `logging`."""

    name: str
    level: int
    text: str


class Stepped(msgspec.Struct, frozen=True, tag=True):
    """The outputs of one step, the books after it where they are told again, and what became of blocks, if
    anybody watches them.
    """

    outputs: list[TokenOutput]
    stats: EngineStats | None = None
    blocks: tuple[BlockEvent, ...] = ()


class Embedded(msgspec.Struct, frozen=True, tag=True):
    """Vectors that one batch has completed."""

    outputs: list[EmbedOutput]


_OfRequests = GenerationRequest | EmbedRequest | Abort | EndThoughts
ToEngine = Load | _OfRequests | WatchBlocks | UnwatchBlocks | AddAdapter | RemoveAdapter | Ping | Stop
_OfStart = Opened | Loaded | Ready | StartFailed
FromEngine = _OfStart | FileChanged | Logged | Stepped | Embedded | AdapterChanged | Heartbeat

_encoder = msgspec.msgpack.Encoder()
to_engine_decoder: msgspec.msgpack.Decoder[ToEngine] = msgspec.msgpack.Decoder(ToEngine)
from_engine_decoder: msgspec.msgpack.Decoder[FromEngine] = msgspec.msgpack.Decoder(FromEngine)


def encode(message: ToEngine | FromEngine) -> bytes:
    """Make a frame: four bytes of length, little-endian, and the message."""
    body = _encoder.encode(message)
    return _LENGTH.pack(len(body)) + body


def body_length(prefix: bytes) -> int:
    """Tell how many bytes follow the prefix of a frame."""
    return int(_LENGTH.unpack(prefix)[0])
