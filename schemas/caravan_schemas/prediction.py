"""What an answer is expected to be: OpenAI's predicted outputs."""

from typing import Annotated, Literal

from pydantic import Field

from caravan_schemas.base import Schema, string_or_array
from caravan_schemas.messages import MAX_PARTS, TextPart


class Prediction(Schema):
    """A text that the answer is expected to be much like, such as a file before its changes."""

    type: Literal["content"] = Field(description="Always `content`.")
    content: Annotated[
        str | Annotated[list[TextPart], Field(min_length=1, max_length=MAX_PARTS, fail_fast=True)],
        string_or_array("content_kind", "text parts"),
    ] = Field(description="The text, or pieces of it that are joined as they are.")

    @property
    def text(self) -> str:
        """The text as a whole."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class PredictionFields(Schema):
    """What the answer is expected to be."""

    prediction: Prediction | None = Field(
        default=None,
        description="A text that the answer is expected to be much like, as with OpenAI. Where it is, several"
        " tokens are computed at once. It never changes the answer.",
    )
