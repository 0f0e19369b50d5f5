"""Embeddings: request and response."""

from typing import Literal

from pydantic import Field

from caravan_schemas.base import Schema
from caravan_schemas.completions import Prompt
from caravan_schemas.decoding import MAX_COUNT
from caravan_schemas.model_name import ModelFields
from caravan_schemas.token_fields import TruncationFields


class EmbeddingRequest(TruncationFields, ModelFields):
    """Body of `POST /v1/embeddings`."""

    input: Prompt = Field(description="Text or token ids, one input or several.")
    encoding_format: Literal["float", "base64"] | None = Field(
        default=None, description="`base64`: the numbers as float32, little-endian. Default `float`."
    )
    dimensions: int | None = Field(
        default=None,
        ge=1,
        le=MAX_COUNT,
        description="Keep so many numbers, brought back to length 1: for models trained for that.",
    )
    pooling: Literal["mean", "cls", "last"] | None = Field(
        default=None,
        description="How the vectors of an input's tokens become one. Default is what the model's file says, "
        "`mean` where it says nothing. `cls` only for models that make embeddings only.",
    )
    user: str | None = Field(default=None, description="Accepted and not used.")


class Embedding(Schema):
    """The vector of one input, of length 1."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(Schema):
    """Tokens of all inputs, with those that the tokenizer adds."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(Schema):
    """The vectors in the inputs' order."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage
