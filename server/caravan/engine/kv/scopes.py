"""Whose cells a request may share: those that were computed for its like, with the same adapters."""

import json

from caravan.engine.kv.radix_tree import CacheScope
from caravan.engine.params import ONCE, GenerationRequest


def scope_of(request: GenerationRequest) -> CacheScope:
    """Tell the scope of a request. With adapters all that is computed is another, from the first token on: it
    is shared within the set alone, whatever is public without.
    """
    if not request.lora:
        return CacheScope(request.cache_salt, request.num_public_tokens)
    told = json.dumps(request.lora)
    # Written nowhere: another file may have the adapter's name after a restart. No salt has the sign.
    return CacheScope(f"{ONCE}\0{len(told)}:{told}{request.cache_salt}")
