"""LoRA adapters that a request wants."""

from typing import Annotated

from pydantic import Field

from caravan_schemas.base import Schema

MAX_ADAPTERS = 16
MAX_SCALE = 100.0


class LoraAdapter(Schema):
    """One adapter, by its name or by its number, and how strongly it counts."""

    name: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="Its name, as `GET /v1/models` lists it."
    )
    id: int | None = Field(
        default=None, ge=0, description="Its place among the model's adapters, from 0, as in llama.cpp."
    )
    scale: float | None = Field(
        default=None,
        ge=-MAX_SCALE,
        le=MAX_SCALE,
        description="How strongly it counts: 1, the default, is what it was trained for; 0 leaves it out.",
    )


class LoraFields(Schema):
    """Which adapters an answer is computed with."""

    lora: list[LoraAdapter] | None = Field(
        default=None,
        max_length=MAX_ADAPTERS,
        description="The model's LoRA adapters to compute with, instead of the one that `model` names; an "
        "empty array for none.",
    )
