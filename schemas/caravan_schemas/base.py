"""The one base of every shape on the wire."""

from pydantic import BaseModel, ConfigDict


class Schema(BaseModel):
    """Strict in what it reads: no coercion, no unknown fields, no NaN or infinity.

    Responses are written with `exclude_unset`, so a null that OpenAI sends is a null that the builder set.
    """

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def json_kind(value: object) -> str:
    """Name of a value's JSON type, by which a union's member is chosen before it is validated."""
    if isinstance(value, str):
        return "<string>"
    if isinstance(value, list):
        return "<array>"
    return "<other>"
