"""Embeddings: request and response."""

from typing import Literal

from pydantic import Field

from caravan_schemas.base import Schema
from caravan_schemas.common import ModelFields
from caravan_schemas.completions import Prompt
from caravan_schemas.decoding import MAX_COUNT
from caravan_schemas.token_fields import TruncationFields


class EmbeddingRequest(TruncationFields, ModelFields):
    """Body of `POST /v1/embeddings`."""

    input: Prompt = Field(
        description="What to embed: a text, an array of texts, an array of token ids, or an array of such "
        "arrays."
    )
    encoding_format: Literal["float", "base64"] | None = Field(
        default=None,
        description="`float` (the default) returns numbers, `base64` the same numbers as little-endian "
        "float32.",
    )
    dimensions: int | None = Field(
        default=None,
        ge=1,
        le=MAX_COUNT,
        description="Keep only this many numbers of each vector, scaled to length 1 again. For models that "
        "were trained for it. All by default.",
    )
    pooling: Literal["mean", "cls", "last"] | None = Field(
        default=None,
        description="How the vectors of a text's tokens become one. By default what the model's file says, or"
        " else `mean`. `cls` is only for models that make embeddings and no text.",
    )
    user: str | None = Field(default=None, description="A label of the caller's own. It has no effect.")


class Embedding(Schema):
    """The vector of one input, of length 1."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(Schema):
    """The number of tokens of all inputs, special tokens included."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(Schema):
    """The vectors in the inputs' order."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage
