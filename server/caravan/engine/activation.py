"""Activated adapters (aLoRA): they compute from their invocation on, a run of tokens in the prompt.

What comes before is computed as if they were not there, so it is shared with those that do without them
(Greenewald et al., 2025, "Activated LoRA"; the file's `adapter.alora.invocation_tokens`).
"""

import sys
from collections.abc import Mapping

from caravan.engine.params import AdapterSet

# From which token on which adapters compute; the first begins with token 0.
Stages = tuple[tuple[int, AdapterSet], ...]


def stages_of(
    lora: AdapterSet, invocations: Mapping[str, tuple[int, ...]], prompt: tuple[int, ...]
) -> Stages:
    """Tell where in a prompt each adapter of a set begins: at the last run of tokens that is its invocation,
    which is empty for those that are not activated. One that is never invoked computes nothing.
    """
    starts = {name: _last(prompt, invocations[name]) for name, _ in lora}
    begun = {start for start in starts.values() if start is not None}
    return tuple(
        (place, tuple(item for item in lora if _is_begun(starts[item[0]], place)))
        for place in sorted({0, *begun})
    )


def adapters_at(stages: Stages, place: int) -> AdapterSet:
    """Tell which compute the token at a place."""
    if len(stages) == 1:
        return stages[0][1]
    return next(lora for start, lora in reversed(stages) if start <= place)


def num_until_next(stages: Stages, place: int) -> int:
    """Count the tokens from a place on that the same adapters compute; where all are, very many."""
    return next((start - place for start, _ in stages if start > place), sys.maxsize)


def _is_begun(start: int | None, place: int) -> bool:
    return start is not None and start <= place


def _last(prompt: tuple[int, ...], invocation: tuple[int, ...]) -> int | None:
    """The place of the last run of such tokens; of no tokens, the beginning."""
    if not invocation:
        return 0
    for place in range(len(prompt) - len(invocation), -1, -1):
        if prompt[place] == invocation[0] and prompt[place : place + len(invocation)] == invocation:
            return place
    return None
