"""Fields by which a request steers decoding, and the limits within which they work."""

from typing import Annotated

from pydantic import Discriminator, Field, Tag

from schemas.base import Schema, json_kind
from schemas.common import StreamOptions

MAX_STOP_STRINGS = 16
MAX_STOP_LENGTH = 1024
MAX_COUNT = 2**31 - 1

StopString = Annotated[str, Field(min_length=1, max_length=MAX_STOP_LENGTH)]
Stop = Annotated[
    Annotated[StopString, Tag("<string>")]
    | Annotated[
        Annotated[list[StopString], Field(min_length=1, max_length=MAX_STOP_STRINGS)], Tag("<array>")
    ],
    Discriminator(
        json_kind,
        custom_error_type="stop_kind",
        custom_error_message="must be a string or an array of strings",
    ),
]


class SamplingFields(Schema):
    """Decoding fields of both completion routes; null means the default."""

    max_tokens: int | None = Field(
        None,
        ge=1,
        le=MAX_COUNT,
        description="Most tokens to generate. Generation also ends, with `length`, when the context is full.",
    )
    max_completion_tokens: int | None = Field(
        None, ge=1, le=MAX_COUNT, description="The newer name of `max_tokens`."
    )
    temperature: float | None = Field(None, ge=0, le=2, description="0 is greedy. Default 0.8.")
    top_p: float | None = Field(None, gt=0, le=1, description="1 is off. Default 0.95.")
    top_k: int | None = Field(None, ge=0, le=MAX_COUNT, description="0 is off. Default 40.")
    min_p: float | None = Field(None, ge=0, le=1, description="0 is off. Default 0.05.")
    seed: int | None = Field(
        None,
        ge=-(2**63),
        le=2**63 - 1,
        description="Equal seeds draw equal text; 0 is a seed like any other.",
    )
    stop: Stop | None = Field(
        None, description="Up to 16 strings; the text ends before the first that occurs."
    )
    n: int | None = Field(None, ge=1, le=MAX_COUNT, description="Choices per prompt. Default 1.")
    stream: bool | None = Field(None, description="Answer with server-sent events.")
    stream_options: StreamOptions | None = Field(None, description="Only together with `stream`.")
    user: str | None = Field(None, description="The caller's own label; it has no effect on the text.")
