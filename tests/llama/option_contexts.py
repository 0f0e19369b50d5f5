"""Contexts with options of llama.cpp, and models that can have them all."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llama_cpp
from caravan.llama.batch import Batch
from caravan.llama.context import Context, DecodeStatus

from tests.llama.native import NativeContext, Rows, Run, text

CELLS = 256
PROMPT, OTHER = text(1, 70), text(2, 60)
Opened = Callable[..., Context]


@dataclasses.dataclass(frozen=True)
class Heads:
    """Models with heads of 32 numbers, and of 64, whose keys llama.cpp rotates before it quantizes them."""

    by_size: dict[int, Path]
    experts: Path


def compute(context: Context, *runs: tuple[int, int, list[int]]) -> Rows:
    """Logits after each run of tokens: sequence, first position, tokens."""
    batch = Batch(128)
    for seq_id, position, token_ids in runs:
        batch.add(seq_id, position, token_ids, wants_logits=True)
    assert context.decode(batch) is DecodeStatus.OK
    return context.logits().copy()


def bare(path: Path, **changes: Any) -> Rows:  # noqa: ANN401
    """What llama.cpp gives by itself after PROMPT."""
    defaults = llama_cpp.llama_context_default_params()
    usual = {name: getattr(defaults, name) for name in ("type_k", "type_v", "flash_attn_type")}
    context = NativeContext(
        path, **(usual | {"n_threads": 2, "n_threads_batch": 2, "n_batch": 128} | changes)
    )
    try:
        return context.compute(Run(0, 0, PROMPT))
    finally:
        context.close()
