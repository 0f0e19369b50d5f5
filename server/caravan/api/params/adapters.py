"""Which adapters a request is computed with."""

from collections.abc import Sequence

from caravan_schemas.lora import LoraAdapter

from caravan.auth.principal import Principal
from caravan.engine.params import AdapterSet
from caravan.errors import InvalidValueError, ModelUnavailableError
from caravan.models.loaded_model import LoadedModel

# Its file may be brought back, and the model loaded again.
_RETRY_SECONDS = 60


def adapter_set(wished: Sequence[LoraAdapter] | None, model: LoadedModel, principal: Principal) -> AdapterSet:
    """Settle on a set: what the request wishes, else what the name of its model stands for.

    Raises ModelUnavailableError over an adapter that is missing, and InvalidValueError over one that there
    is not, and where the caller may use one adapter but not the model itself, which is what a set with a
    scale near 0 would be.
    """
    if wished is None:
        return _there(model.lora, model)
    if not principal.may_use(*model.names):
        raise InvalidValueError("lora", f"is for keys that may use '{model.id}' itself")
    found: dict[str, float] = {}
    for index, item in enumerate(wished):
        name = _name(item, f"lora[{index}]", model)
        if name in found:
            raise InvalidValueError(f"lora[{index}]", f"names the adapter '{name}' a second time")
        found[name] = 1.0 if item.scale is None else item.scale
    return _there(tuple(sorted((name, scale) for name, scale in found.items() if scale)), model)


def _there(lora: AdapterSet, model: LoadedModel) -> AdapterSet:
    """Return a set of adapters that the engine has. Raises ModelUnavailableError."""
    for name in (name for name, _ in lora if name in model.engine.missing_adapters):
        message = f"The adapter '{name}' could not be loaded with its model; the server's log says why."
        raise ModelUnavailableError(message, retry_after=_RETRY_SECONDS)
    return lora


def _name(item: LoraAdapter, param: str, model: LoadedModel) -> str:
    if (item.name is None) == (item.id is None):
        raise InvalidValueError(param, "needs a 'name' or an 'id', one of them")
    there_are = f"'{model.id}' has " + (", ".join(f"'{name}'" for name in model.adapters) or "no adapters")
    if item.name is not None:
        if item.name not in model.adapters:
            raise InvalidValueError(f"{param}.name", f"is no adapter; {there_are}")
        return item.name
    assert item.id is not None
    if item.id >= len(model.adapters):
        raise InvalidValueError(f"{param}.id", f"is no adapter; {there_are}")
    return model.adapters[item.id]
