"""Shapes shared by chat and text completions."""

from typing import Literal

from pydantic import Field

from caravan_schemas.base import Schema

FinishReason = Literal["stop", "length"]
OBFUSCATION = (
    "True: add `obfuscation` to events that bring text. It is random letters that round their bytes up to a "
    "multiple of 16, so that the sizes of encrypted events do not tell those of words. Default false, unlike "
    "OpenAI's."
)


class StreamOptions(Schema):
    """Options that only a stream has."""

    include_usage: bool | None = Field(
        default=None,
        description="True: one more chunk comes before `[DONE]`, with the usage and without choices. Default "
        "false.",
    )
    include_obfuscation: bool | None = Field(default=None, description=OBFUSCATION)


class PromptTokensDetails(Schema):
    """`cached_tokens` of the prompt were not computed again. The rest is OpenAI's, and 0."""

    cached_tokens: int
    audio_tokens: Literal[0]


class CompletionTokensDetails(Schema):
    """`reasoning_tokens` were thought, the markers around it included. The rest is OpenAI's, and 0."""

    reasoning_tokens: int
    audio_tokens: Literal[0]
    accepted_prediction_tokens: Literal[0]
    rejected_prediction_tokens: Literal[0]


class Usage(Schema):
    """Exact token counts. A prompt counts once, however many choices are drawn from it."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails
