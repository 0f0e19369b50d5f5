"""Speech into text, as OpenAI has it."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from caravan_schemas.base import Schema
from caravan_schemas.common import ModelFields


def _number(value: object) -> object:
    """A number that came as the text of a form."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


class TranscriptionForm(ModelFields):
    """Body of `POST /v1/audio/transcriptions`, a form of `multipart/form-data`."""

    # Of a file that has been read bit by bit, its name.
    file: Annotated[str, WithJsonSchema({"type": "string", "format": "binary"})] = Field(
        description="The sound: a WAV or an MP3, with its name."
    )
    language: str | None = Field(
        default=None,
        max_length=64,
        description="The language that is spoken, such as `en`.",
    )
    prompt: str | None = Field(
        default=None, description="What to know of it, such as names. The model reads it before it listens."
    )
    response_format: Literal["json", "text", "srt", "verbose_json", "vtt", "diarized_json"] | None = Field(
        default=None,
        description="`json` (the default) or `text`. The others have times, which no model here tells: they "
        "are refused.",
    )
    temperature: Annotated[float, BeforeValidator(_number), Field(ge=0, le=100)] = Field(
        default=0.0, description="How freely words are drawn. Default 0."
    )
    stream: Literal["true", "false"] | None = Field(
        default=None, description="Only `false`: the text comes as a whole."
    )
    timestamp_granularities: Any = Field(default=None, description="Refused: no model here tells times.")
    chunking_strategy: Any = Field(
        default=None, description="Only `auto`: a sound is read as a whole, or refused as too long."
    )
    include: Any = Field(default=None, description="Refused: log probabilities are told by chats.")


class TranscriptionTokens(Schema):
    """What was listened to."""

    text_tokens: int = Field(description="How many of the tokens are text.")
    audio_tokens: int


class TranscriptionUsage(Schema):
    """What a transcription has used."""

    type: Literal["tokens"]
    input_tokens: int
    input_token_details: TranscriptionTokens = Field(description="What the input's tokens were.")
    output_tokens: int
    total_tokens: int


class Transcription(Schema):
    """What was said."""

    text: str
    usage: TranscriptionUsage
