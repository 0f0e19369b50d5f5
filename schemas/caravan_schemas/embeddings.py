"""Embeddings: request and response."""

from typing import Annotated, Literal

from pydantic import Field

from caravan_schemas.base import Schema
from caravan_schemas.common import ModelFields, PriorityFields
from caravan_schemas.completions import Prompt
from caravan_schemas.decoding import MAX_COUNT
from caravan_schemas.token_fields import TruncationFields

Dimensions = Annotated[int | None, Field(ge=1, le=MAX_COUNT)]
OutputType = Literal["float", "int8", "uint8", "binary", "ubinary"]


class EmbeddingRequest(PriorityFields, TruncationFields, ModelFields):
    """Body of `POST /v1/embeddings`."""

    input: Prompt = Field(
        description="What to embed: a text, an array of texts, an array of token ids, or an array of such "
        "arrays."
    )
    encoding_format: Literal["float", "base64"] | None = Field(
        default=None,
        description="`float` (the default) returns numbers, `base64` the same numbers as bytes: "
        "little-endian float32, or what `output_dtype` says.",
    )
    output_dtype: OutputType | None = Field(
        default=None,
        description="What the numbers are, as Voyage and Mistral name it. `float` (the default); `int8`: "
        "each number times 127, rounded; `uint8`: the same plus 128; `ubinary`: a bit for each number, 1 "
        "where it is above 0, eight bits in a number from 0 to 255, the first one highest; `binary`: the "
        "same less 128.",
    )
    dimensions: Dimensions = Field(
        default=None,
        description="Keep only this many numbers of each vector, scaled to length 1 again. For models that "
        "were trained for it. All by default.",
    )
    output_dimension: Dimensions = Field(
        default=None, description="Another name of `dimensions`, of Voyage and Mistral."
    )
    pooling: Literal["mean", "cls", "last"] | None = Field(
        default=None,
        description="How the vectors of a text's tokens become one. By default what the model's file says, or"
        " else `mean`. `cls` is only for models that make embeddings and no text.",
    )
    user: str | None = Field(default=None, description="A label of the caller's own. It has no effect.")


class Embedding(Schema):
    """The vector of one input, of length 1 before `output_dtype` makes it small."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(Schema):
    """The number of tokens of all inputs, special tokens included."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(Schema):
    """The vectors in the inputs' order. `id` is vLLM's and Mistral's."""

    id: str
    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage
