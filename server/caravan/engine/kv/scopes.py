"""Whose cells a request may share: those that were computed for its like, with the same adapters."""

import json
from collections.abc import Collection

from caravan.engine.activation import Stages
from caravan.engine.kv.radix_tree import CacheScope
from caravan.engine.params import ONCE, AdapterSet, GenerationRequest

_WITH_ADAPTERS = f"{ONCE}\0"


def scope_of(request: GenerationRequest, stages: Stages = ()) -> CacheScope:
    """Tell the scope of a request. With adapters all that is computed is another, from the first token on, or
    where there are `stages`, from there on: it is shared within the set alone, whatever is public without.
    Nor is an image public.
    """
    scope = _scope_from_start(request, stages[0][1] if stages else request.lora)
    starts = ""
    for start, lora in stages[1:]:
        starts += f"\0{start}"
        # A text may have two invocations: one beginning of it is then computed in two ways.
        name = f"{name_of_set(lora)}{starts}\0{request.cache_salt}"
        base = scope if scope.name and scope.num_public < start else None
        scope = CacheScope(name, start, base)
    return scope


def _scope_from_start(request: GenerationRequest, lora: AdapterSet) -> CacheScope:
    if lora:
        return CacheScope(name_of_set(lora) + request.cache_salt)
    first = request.media[0].start if request.media else request.num_public_tokens
    return CacheScope(request.cache_salt, min(request.num_public_tokens, first))


def name_of_set(lora: AdapterSet) -> str:
    """Write what the names of scopes begin with where a set of adapters computes."""
    told = json.dumps(lora)
    # Written nowhere: another file may have the adapter's name after a restart. No salt has the sign.
    return f"{_WITH_ADAPTERS}{len(told)}:{told}"


def adapters_of(scope: str) -> Collection[str]:
    """Tell which adapters computed what has a scope of this name."""
    if not scope.startswith(_WITH_ADAPTERS):
        return ()
    length, _, rest = scope.removeprefix(_WITH_ADAPTERS).partition(":")
    return [name for name, _ in json.loads(rest[: int(length)])]
