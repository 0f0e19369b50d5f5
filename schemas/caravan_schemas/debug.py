"""What an answer tells about its making, when the request asks."""

from caravan_schemas.base import Schema


class DecodingStage(Schema):
    """A stage that acted, with its values; token texts are token ids by now.

    `mu` is mirostat's state after the last token, by the index of the choice.
    """

    stage: str
    values: dict[str, object]
    mu: dict[str, float] | None = None


class Debug(Schema):
    """`decoding` has the stages in the order in which they acted."""

    decoding: list[DecodingStage]
