"""Workloads of real models and of larger shapes, for one client and for eight: speed, start and memory."""

import random
from collections.abc import Callable, Iterator

from tests.bench.plan import Script
from tests.bench.scripts import Scale, closed_loop, prose
from tests.bench.workload import Workload, faster

Scripts = Callable[[random.Random, Scale], list[Script]]

# Enough for prompt and answer of each of eight.
_CONTEXT = 512
_PARALLEL = 8


def _pair(model: str, title: str, one: Scripts, eight: Scripts, tokens: int) -> Iterator[Workload]:
    for clients, scripts in ((1, one), (8, eight)):
        yield Workload(
            name=f"{model}-{clients}",
            title=f"{title}, {clients} client{'s' if clients > 1 else ''}",
            model=model,
            context=_CONTEXT,
            parallel=_PARALLEL,
            scripts=scripts,
            raw_decode=(clients, tokens),
            targets=(faster(1.0),),
        )


def _real(model: str, title: str) -> Iterator[Workload]:
    return _pair(model, title, prose(1, 4, 96), prose(8, 2, 96), 96)


def _shape(model: str, title: str, prompt: int, tokens: int, each: int) -> Iterator[Workload]:
    one, eight = closed_loop(1, 2 * each, prompt, tokens), closed_loop(8, each, prompt, tokens)
    return _pair(model, title, one, eight, tokens)


MODEL_ROWS = (
    *_real("smollm2", "SmolLM2-135M, Q4_1"),
    *_real("gemma", "Gemma 3 270M, Q4_K_M, sliding windows"),
    *_shape("1.5b-q4_k_m", "1.5b, Q4_K_M", 64, 48, 1),
    *_shape("7b-q4_k_m", "7b, Q4_K_M", 32, 16, 1),
    *_shape("mixture", "mixture of 32 experts, 8 used, 1.2b, Q4_K_M", 64, 64, 1),
    *_shape("hybrid", "hybrid of the shape of LFM2-350M, Q4_K_M", 64, 64, 1),
)
