"""Tokens that are guessed ahead: they make an answer quicker, and no other."""

from pydantic import Field

from caravan_schemas.base import Schema
from caravan_schemas.decoding import MAX_COUNT


class SpeculativeOptions(Schema):
    """How tokens are guessed ahead."""

    enabled: bool | None = Field(
        default=None, description="False: guess nothing ahead for this request. Default true."
    )
    max_draft_tokens: int | None = Field(
        default=None,
        ge=0,
        le=MAX_COUNT,
        description="The most tokens to guess ahead at once. What the operator's `--speculative` says is the "
        "default, and the limit.",
    )

    @property
    def most(self) -> int | None:
        """How many tokens may be guessed at once; None where the request leaves it open."""
        return 0 if self.enabled is False else self.max_draft_tokens


class SpeculativeFields(Schema):
    """Whether tokens are guessed ahead."""

    speculative: SpeculativeOptions | None = Field(
        default=None,
        description="Whether tokens are guessed ahead and checked together, and how many. It changes how long"
        " an answer takes, never its text.",
    )
