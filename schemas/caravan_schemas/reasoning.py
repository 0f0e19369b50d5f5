"""Thoughts of earlier turns, under the names by which other servers return them."""

from typing import Annotated, Any, Literal

from annotated_types import MaxLen
from pydantic import Field, model_validator

from caravan_schemas.base import Schema

# It bounds the work that one body can cause.
MAX_DETAILS = 4096
Details = Annotated[list[dict[str, Any]] | None, MaxLen(MAX_DETAILS)]

_OTHER_NAME = "Another name of `reasoning_content`, read where that says nothing."


class ThinkingPart(Schema):
    """A piece of thought among those of the content, as Anthropic, Mistral and others write it."""

    type: Literal["thinking", "reasoning", "redacted_thinking"]
    thinking: str | list[dict[str, Any]] | None = None
    text: str | None = None
    data: str | None = Field(default=None, description="Not read: only the service that wrote it can.")
    signature: str | None = Field(default=None, description="Not read.")
    closed: bool | None = Field(default=None, description="Not read.")


class ThoughtFields(Schema):
    """What an assistant thought. The first of the names that says something counts."""

    reasoning_content: str | None = Field(
        default=None, description="What the model thought. It sees it again where its chat template shows it."
    )
    reasoning: str | None = Field(default=None, description=_OTHER_NAME)
    thinking: str | None = Field(default=None, description=_OTHER_NAME)
    reasoning_text: str | None = Field(default=None, description=_OTHER_NAME)
    reasoning_details: Details = Field(
        default=None, description="OpenRouter's pieces of a thought; what is encrypted is not read."
    )
    thinking_blocks: Details = Field(
        default=None, description="LiteLLM's pieces of a thought; what is encrypted is not read."
    )

    @model_validator(mode="after")
    def _have_one_name(self) -> "ThoughtFields":
        named = (self.reasoning_content, self.reasoning, self.thinking, self.reasoning_text)
        pieces = (_texts(self.reasoning_details), _texts(self.thinking_blocks), _parts(self))
        self.reasoning_content = next(filter(None, (*named, *pieces)), self.reasoning_content)
        return self


def _texts(pieces: list[dict[str, Any]] | None) -> str:
    """The texts of pieces; summaries where there is nothing else."""
    for name in ("text", "thinking", "summary"):
        texts = [piece[name] for piece in pieces or () if isinstance(piece.get(name), str)]
        if any(texts):
            return "".join(texts)
    return ""


def _parts(message: ThoughtFields) -> str:
    content = getattr(message, "content", None)
    parts = [part for part in content if isinstance(part, ThinkingPart)] if isinstance(content, list) else []
    return "".join(
        _texts(part.thinking) if isinstance(part.thinking, list) else part.thinking or part.text or ""
        for part in parts
    )
