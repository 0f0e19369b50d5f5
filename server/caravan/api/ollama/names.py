"""Names of models with Ollama's tags: `:latest` is what a name without a tag means."""

import contextlib

from caravan.auth.principal import Principal
from caravan.errors import ModelNotFoundError
from caravan.models import ModelRegistry

_LATEST = ":latest"


def shown_name(model_id: str) -> str:
    """Write a model's name as Ollama lists it, always with a tag."""
    return model_id if ":" in model_id.rpartition("/")[2] else model_id + _LATEST


def find(registry: ModelRegistry, name: str, principal: Principal) -> str:
    """Find the name of a model, or of an adapter, that one with a tag or without stands for.

    Raises ModelNotFoundError.
    """
    if name.endswith(_LATEST):
        # A model may be called that way here, too.
        with contextlib.suppress(ModelNotFoundError):
            registry.find(name, principal)
            return name
        name = name.removesuffix(_LATEST)
    registry.find(name, principal)
    return name
