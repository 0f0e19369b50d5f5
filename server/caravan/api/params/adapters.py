"""Which adapters a request is computed with."""

from collections.abc import Sequence

from caravan_schemas.lora import LoraAdapter

from caravan.auth.principal import Principal
from caravan.engine.params import AdapterSet
from caravan.errors import InvalidValueError
from caravan.models.loaded_model import LoadedModel


def adapter_set(wished: Sequence[LoraAdapter] | None, model: LoadedModel, principal: Principal) -> AdapterSet:
    """Settle on a set: what the request wishes, else what the name of its model stands for.

    Raises InvalidValueError over an adapter that there is not, and where the caller may use one adapter but
    not the model itself, which is what a set with a scale near 0 would be.
    """
    if wished is None:
        return model.lora
    if not principal.may_use(*model.names):
        raise InvalidValueError("lora", f"is for keys that may use '{model.id}' itself")
    found: dict[str, float] = {}
    for index, item in enumerate(wished):
        name = _name(item, f"lora[{index}]", model)
        if name in found:
            raise InvalidValueError(f"lora[{index}]", f"names the adapter '{name}' a second time")
        found[name] = 1.0 if item.scale is None else item.scale
    return tuple(sorted((name, scale) for name, scale in found.items() if scale))


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
