"""The model that a request is for."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from caravan_schemas.base import Schema


class ModelFields(Schema):
    """The field that all requests about a model have. Empty is left out, as some clients write it."""

    model: Annotated[
        str,
        BeforeValidator(lambda value: "" if value is None else value, json_schema_input_type=str | None),
    ] = Field(
        default="",
        description="The model, by a name that `GET /v1/models` lists. It may be left out where one model is "
        "served.",
    )
