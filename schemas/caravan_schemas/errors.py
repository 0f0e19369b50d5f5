"""OpenAI's error envelope."""

from caravan_schemas.base import Schema


class ErrorDetail(Schema):
    """What went wrong; `param` is the path of the field at fault, such as `messages[1].content`. Programs
    decide by `code`.
    """

    message: str
    type: str
    param: str | None
    code: str


class ErrorResponse(Schema):
    """The body of every answer that is not a success, and of an error event inside a stream."""

    error: ErrorDetail
