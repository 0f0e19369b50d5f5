"""LoRA adapters: small matrices that are added to those of a model, by file."""

import math
import os
from pathlib import Path
from typing import BinaryIO

import llama_cpp
import numpy as np

from caravan.llama import library
from caravan.llama.gguf_header import part_paths
from caravan.llama.gguf_reader import FLOAT, STRING, GgufReader, HeaderError, TensorPlace
from caravan.llama.model import Model

_TEXTS = ("general.type", "general.architecture", "adapter.type")
_ALPHA = "adapter.lora.alpha"
# ggml's numbers of types that it cannot multiply by: Q8_1, Q8_K, integers and float64.
_NO_FACTORS = frozenset((9, 15, 24, 25, 26, 27, 28))
_NUM_DIMENSIONS = 4
# Of ggml's float32, float16 and bfloat16: how NumPy reads them, and the bits that are all set where a number
# is not finite.
_FLOATS = {0: ("<u4", 0x7F800000), 1: ("<u2", 0x7C00), 30: ("<u2", 0x7F80)}
_AT_ONCE = 1 << 22


class AdapterError(Exception):
    """The file is no adapter for this model; one line."""


class Adapter:
    """A `llama_adapter_lora`, which its model frees, if `close` has not. Raises AdapterError."""

    def __init__(self, model: Model, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        if not os.path.isfile(self.path):
            raise AdapterError(f"no such file: {self.path}")
        try:
            _check(self.path, model)
        except (HeaderError, OSError) as error:
            raise AdapterError(f"the adapter {self.path} cannot be loaded: {error}") from error
        with library.reasons() as reasons:
            pointer = llama_cpp.llama_adapter_lora_init(model.pointer, self.path.encode())
        if not pointer:
            why = reasons[0] if reasons else "not a GGUF file, or damaged"
            raise AdapterError(f"llama.cpp cannot load the adapter {self.path} for {model.path}: {why}")
        self.pointer = pointer
        count = llama_cpp.llama_adapter_get_alora_n_invocation_tokens(pointer)
        tokens = llama_cpp.llama_adapter_get_alora_invocation_tokens(pointer) if count else ()
        # With which tokens it begins to compute (aLoRA); none where it does from the first on.
        self.invocation = tuple(tokens[:count])

    def close(self) -> None:
        """Free it now. No context may use it any more, and its model must be there; a second call does
        nothing.
        """
        pointer, self.pointer = self.pointer, None
        if pointer:
            llama_cpp.llama_adapter_lora_free(pointer)


def _check(path: str, model: Model) -> None:
    """Raise HeaderError over what llama.cpp would end the process for, here or in a step; OSError."""
    adapter = _described(path)
    for key in _TEXTS:
        if adapter.kinds.get(key, STRING) != STRING:
            raise HeaderError(f"it is damaged: '{key}' is no text")
    alpha = adapter.metadata.get(_ALPHA, 0.0)
    if adapter.kinds.get(_ALPHA, FLOAT) != FLOAT or not isinstance(alpha, float) or not math.isfinite(alpha):
        raise HeaderError(f"it is damaged: '{_ALPHA}' is no 32-bit number with a fraction")
    weights: dict[str, TensorPlace] = {}
    for part in part_paths(Path(model.path)):
        weights |= _described(part).places
    for name, a in adapter.places.items():
        if not name.endswith(".lora_a"):
            continue
        of = name.replace(".lora_a", "")
        b, weight = adapter.places.get(f"{of}.lora_b"), weights.get(of)
        # llama.cpp tells what is not there, and which of the other sizes are wrong.
        if b is not None and weight is not None and (fault := _fault_of(of, a, b, weight)):
            raise HeaderError(f"its matrices for '{of}' {fault}")
    with open(path, "rb") as file:
        for name, place in adapter.places.items():
            if not _is_finite(file, place):
                raise HeaderError(f"'{name}' has numbers that are not finite")


def _is_finite(file: BinaryIO, place: TensorPlace) -> bool:
    """Whether a tensor has no infinity and what is no number; of quantized ones, nobody looks."""
    if place.kind not in _FLOATS:
        return True
    kind, bits = _FLOATS[place.kind]
    file.seek(place.start)
    left = place.num_items
    while left > 0:
        numbers = np.frombuffer(file.read(min(left, _AT_ONCE) * np.dtype(kind).itemsize), kind)
        if not numbers.size or ((numbers & bits) == bits).any():
            return False
        left -= numbers.size
    return True


def _fault_of(of: str, a: TensorPlace, b: TensorPlace, weight: TensorPlace) -> str | None:
    """What of the two matrices for a weight llama.cpp does not look at before it computes with them."""
    if kinds := _NO_FACTORS & {a.kind, b.kind}:
        return f"are of the type {min(kinds)}, which cannot be computed with"
    if not (a.num_items and b.num_items):
        return "are empty"
    if not _depth(a) == _depth(b) == _depth(weight):
        return "are not as many as there are of the model's"
    if of.endswith("token_embd.weight") and a.shape[:1] != b.shape[:1]:
        return "have two ranks"
    return None


def _depth(place: TensorPlace) -> tuple[int, ...]:
    """How many matrices there are, one for each expert."""
    return (*place.shape, *(1,) * _NUM_DIMENSIONS)[2:_NUM_DIMENSIONS]


def _described(path: str | os.PathLike[str]) -> GgufReader:
    with open(path, "rb") as file:
        reader = GgufReader(file, os.fstat(file.fileno()).st_size)
        reader.preamble()
        reader.describe_tensors()
    return reader
