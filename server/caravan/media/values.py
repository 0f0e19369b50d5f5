"""What a request gives an encoder, and what it gets: tokens of the projector, and runs of embeddings."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from caravan.engine.media.values import SharedEmbeddings

Kind = Literal["image", "audio"]


class MediaRefusedError(Exception):
    """The input is broken, or larger than allowed: the client's fault. The message says what is wrong with
    it, as the end of a sentence that begins with the field's name.
    """


class MediaBusyError(Exception):
    """Too much waits for the encoder already."""


class MediaFailedError(Exception):
    """The encoder has failed or ended over this input."""


@dataclass(frozen=True, kw_only=True)
class MediaInput:
    """A file as it was sent. Its kind of file is found out by whoever decodes it."""

    kind: Kind
    data: bytes
    detail: Literal["auto", "low", "high"] = "auto"


@dataclass(frozen=True, kw_only=True)
class EncodedRun:
    """A run of cells, as `caravan.engine.media.values.MediaRun` has it, wherever it will be in a prompt."""

    num_cells: int
    num_positions: int
    key: bytes
    is_causal: bool
    positions: bytes = b""
    embeddings: SharedEmbeddings


@dataclass(kw_only=True, eq=False)
class EncodedMedia:
    """One input, encoded: tokens of the projector and runs, in their order.

    Its memory is held until each who holds it has released it; whoever is given it holds it already.
    `on_release` is called once, at the last release.
    """

    chunks: tuple[tuple[int, ...] | EncodedRun, ...]
    on_release: Callable[[], None] = lambda: None
    _num_holders: int = field(default=1, init=False)

    @property
    def num_tokens(self) -> int:
        """How many tokens and cells it has in a prompt."""
        return sum(len(chunk) if isinstance(chunk, tuple) else chunk.num_cells for chunk in self.chunks)

    def hold(self) -> None:
        """Keep it for one more holder."""
        assert self._num_holders, "what has been released is gone"
        self._num_holders += 1

    def release(self) -> None:
        """Let go of it, once for each holder."""
        assert self._num_holders, "each holder releases it once"
        self._num_holders -= 1
        if not self._num_holders:
            self.on_release()


class MediaEncoder(Protocol):
    """A model's projector, in a process of its own. Belongs to the event loop."""

    modalities: frozenset[Kind]

    async def read(
        self, media: MediaInput, *, group: str, param: str, owner: str, weight: float
    ) -> EncodedMedia:
        """Encode an input, for those of a cache group. `param` is what the log calls it. Each `owner` has a
        share of the time by `weight`.

        Raises MediaRefusedError, MediaBusyError and MediaFailedError. A caller that is cancelled leaves
        nothing behind.
        """

    async def close(self) -> None:
        """End the process, and free what nobody holds."""
