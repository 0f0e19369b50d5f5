"""llama.cpp's own samplers, to compare ours with."""

import ctypes
from collections.abc import Iterable, Sequence

import llama_cpp
import numpy as np
from caravan.engine.sampling.candidates import Candidates, from_row
from numpy.typing import NDArray


def row(seed: int, size: int = 1000, spread: float = 3.0) -> NDArray[np.float32]:
    """Logits as a model might give them, no two alike."""
    return np.random.default_rng(seed).normal(0, spread, size).astype(np.float32)


def candidates(logits: NDArray[np.float32]) -> Candidates:
    return from_row(logits, np.arange(len(logits), dtype=np.int32))


class Native:
    """One native sampler, freed at the end; `init` is the result of a `llama_sampler_init_*`."""

    def __init__(self, init: object) -> None:
        assert init
        self._pointer = init

    def accept(self, token_ids: Iterable[int]) -> "Native":
        for token_id in token_ids:
            llama_cpp.llama_sampler_accept(self._pointer, token_id)
        return self

    def apply(self, logits: NDArray[np.float32], ids: Sequence[int] | None = None) -> dict[int, float]:
        """What is left, token id to logit."""
        left, _ = self.select(logits, ids)
        return left

    def select(
        self, logits: NDArray[np.float32], ids: Sequence[int] | None = None
    ) -> tuple[dict[int, float], int]:
        """What is left of tokens, all of them or these, and the id of the token selected, -1 if none."""
        data = (llama_cpp.llama_token_data * len(logits))()
        for place, logit in enumerate(logits):
            token_id = place if ids is None else ids[place]
            data[place] = llama_cpp.llama_token_data(token_id, float(logit), 0.0)
        array = llama_cpp.llama_token_data_array(data, len(logits), -1, False)
        llama_cpp.llama_sampler_apply(self._pointer, ctypes.byref(array))
        left = {array.data[i].id: array.data[i].logit for i in range(array.size)}
        selected = array.data[array.selected].id if array.selected >= 0 else -1
        return {i: value for i, value in left.items() if value != -np.inf}, selected

    def __del__(self) -> None:
        llama_cpp.llama_sampler_free(self._pointer)


def same(ours: Candidates, theirs: dict[int, float]) -> bool:
    """Whether both keep the same tokens, with the same logits up to rounding."""
    mine = dict(zip(ours.ids.tolist(), ours.logits.tolist(), strict=True))
    return mine.keys() == theirs.keys() and all(
        abs(value - theirs[i]) <= 1e-4 * (1 + abs(value)) for i, value in mine.items()
    )
