"""The models list."""

from typing import Literal

from schemas.base import Schema


class ModelCard(Schema):
    """One model that requests can name."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class ModelList(Schema):
    """All models served here."""

    object: Literal["list"] = "list"
    data: list[ModelCard]
