"""What crosses between an ingress and a replica, as MessagePack: requests in, a frame for each step out.

A failure is a frame, too, so that it keeps its class and its words.
"""

from collections.abc import Iterator, Mapping

import msgspec

from caravan.engine.block_events import BlockEvent
from caravan.engine.embedding.values import EmbedOutput, EmbedRequest, ModelTraits
from caravan.engine.outputs import EngineStats, TokenOutput
from caravan.engine.params import GenerationRequest
from caravan.errors import CaravanError, EngineFailedError, EngineUnavailableError
from caravan.sizing.sizes import Need


class Route(msgspec.Struct, frozen=True):
    """What a router knows of a request: the hashes of its prompt's whole blocks, and how long it is.

    One without tokens is about the request of this id, and goes where that is.
    """

    request_id: str
    num_tokens: int = 0
    block_hashes: tuple[int, ...] = ()


class Facts(msgspec.Struct, frozen=True):
    """What an engine has settled on; those of one model agree."""

    context_size: int
    max_running: int
    num_places: int
    traits: ModelTraits
    need: Need


class Load(msgspec.Struct, frozen=True):
    """What a replica has to do: tokens that prompts want computed, and choices that are drawn.

    `taken` are the requests that it has got since it last told, `tokens_per_second` how fast it computes
    prompts, 0 where that is not measured yet. `pids` are its process and its engine's, 0 where that is away.
    """

    waiting_tokens: int = 0
    num_running: int = 0
    is_ready: bool = True
    tokens_per_second: float = 0.0
    stats: EngineStats = EngineStats()
    num_restarts: int = 0
    taken: tuple[str, ...] = ()
    pids: tuple[int, int] = (0, 0)


class Update(msgspec.Struct, frozen=True):
    """News of a replica. With `is_whole` they begin with all that it has."""

    events: tuple[BlockEvent, ...] = ()
    load: Load | None = None
    is_whole: bool = False


class Sent(msgspec.Struct, frozen=True):
    """A request for text, with what the files hold that its images are in, by their paths.

    That is not copied when it is read: it keeps all that was sent.
    """

    request: GenerationRequest
    files: Mapping[str, memoryview] = {}


class Stepped(msgspec.Struct, frozen=True, tag=True):
    """All that is new of one request."""

    outputs: list[TokenOutput]


class Embedded(msgspec.Struct, frozen=True, tag=True):
    """Vectors of one request."""

    outputs: list[EmbedOutput]


class Failed(msgspec.Struct, frozen=True, tag=True):
    """Why a request ends: an error of `caravan.errors` by its name.

    With `is_lost` it is none of the request's own: another engine may go on with it.
    """

    name: str
    message: str
    param: str | None
    code: str
    retry_after: int | None
    is_lost: bool


Frame = Stepped | Embedded | Failed

_encoder = msgspec.msgpack.Encoder()
_frames: msgspec.msgpack.Decoder[Frame] = msgspec.msgpack.Decoder(Frame)
_sent: msgspec.msgpack.Decoder[Sent] = msgspec.msgpack.Decoder(Sent)
_embedding: msgspec.msgpack.Decoder[EmbedRequest] = msgspec.msgpack.Decoder(EmbedRequest)
_updates: msgspec.msgpack.Decoder[Update] = msgspec.msgpack.Decoder(Update)
_facts: msgspec.msgpack.Decoder[Facts] = msgspec.msgpack.Decoder(Facts)


def encode(value: Frame | Sent | EmbedRequest | Facts | Update) -> bytes:
    """Write a value for the other side."""
    return _encoder.encode(value)


def frame(data: bytes) -> Frame:
    """Read a frame."""
    return _frames.decode(data)


def sent(data: bytes) -> Sent:
    """Read a request for text."""
    return _sent.decode(data)


def embed_request(data: bytes) -> EmbedRequest:
    """Read a request for vectors."""
    return _embedding.decode(data)


def facts(data: bytes) -> Facts:
    """Read what an engine has settled on."""
    return _facts.decode(data)


def update(data: bytes) -> Update:
    """Read the news of a replica."""
    return _updates.decode(data)


def failed(error: CaravanError) -> Failed:
    """Make the frame of an error. That an engine has failed, or is not there, is not the request's fault."""
    is_lost = isinstance(error, EngineFailedError) or type(error) is EngineUnavailableError
    return Failed(type(error).__name__, error.message, error.param, error.code, error.retry_after, is_lost)


def error_of(failure: Failed) -> CaravanError:
    """Make the error that a frame tells of."""
    kind = {each.__name__: each for each in _kinds(CaravanError)}.get(failure.name, CaravanError)
    # Some make their message from other words, which it has been made from already.
    error = kind.__new__(kind)
    CaravanError.__init__(
        error, failure.message, param=failure.param, code=failure.code, retry_after=failure.retry_after
    )
    return error


def _kinds(kind: type[CaravanError]) -> Iterator[type[CaravanError]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from _kinds(narrower)
