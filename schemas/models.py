"""The models list."""

from typing import Literal

from pydantic import JsonValue

from schemas.base import Schema


class ModelCard(Schema):
    """One model that requests can name. `status` is not OpenAI's: whether a request would find it loaded."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    status: Literal["available", "loading", "loaded", "unloading", "failed"]


class ModelDefault(Schema):
    """A decoding value that holds where a request says nothing, and who said it."""

    value: JsonValue
    source: Literal["gguf", "llama.cpp", "operator"]


class ModelDetails(ModelCard):
    """One model with its effective defaults, and the presets that requests can name."""

    defaults: dict[str, ModelDefault]
    presets: dict[str, dict[str, JsonValue]]


class ModelList(Schema):
    """All models served here."""

    object: Literal["list"] = "list"
    data: list[ModelCard]
