"""Frozen values of embeddings; they cross the process border as MessagePack."""

from enum import StrEnum
from typing import Literal

import msgspec

from caravan.engine.params import BACKGROUND_PRIORITY


class Pooling(StrEnum):
    """How the vectors of a text's tokens become one. With RANK they do not: each text is a pair of texts,
    and the model's head says how well they go together.
    """

    MEAN = "mean"
    CLS = "cls"
    LAST = "last"
    RANK = "rank"


PrefixReuse = Literal["anywhere", "checkpoints", "whole"]


class ModelTraits(msgspec.Struct, frozen=True, kw_only=True):
    """What a model can do besides, or instead of, generating text.

    `embedding_size` is the length of its vectors, or of what its head says, `pooling` what its file says of
    them. At most `max_drafted` tokens of an answer are guessed ahead, none where memory cannot be cut.
    `prefix_reuse` says where others can go on from a text in memory: after any token, at checkpoints and at
    its end, or at its end alone. At most `most_at_once` cells are computed at once, as all of an image have
    to be in some models; None where nobody has said so.
    """

    can_generate: bool = True
    max_drafted: int = 0
    prefix_reuse: PrefixReuse | None = None
    most_at_once: int | None = None
    embedding_size: int = 0
    pooling: Pooling = Pooling.MEAN


class EmbedRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Texts to be embedded. No input is empty or longer than the context, and every id is in the vocabulary.

    `id` is unique among the requests an engine knows. A higher `priority` has its turns first, and among
    equals each `owner` has a share by its `weight`.
    """

    id: str
    inputs: tuple[tuple[int, ...], ...]
    pooling: Pooling
    owner: str = ""
    weight: float = 1.0
    priority: int = 0

    @property
    def is_background(self) -> bool:
        """Whether it gives way to all requests that are not."""
        return self.priority <= BACKGROUND_PRIORITY


class EmbedOutput(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The vector of one input: float32, little-endian, of length 1, or what the head says of it.

    An `error` ends the whole request. If `is_memory_short`, nothing is wrong but that there was no memory for
    it.
    """

    request_id: str
    index: int = 0
    vector: bytes = b""
    error: str | None = None
    is_memory_short: bool = False
