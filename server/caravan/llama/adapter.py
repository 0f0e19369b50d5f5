"""LoRA adapters: small matrices that are added to those of a model, by file."""

import os

import llama_cpp

from caravan.llama import library
from caravan.llama.model import Model


class AdapterError(Exception):
    """The file is no adapter for this model; one line."""


class Adapter:
    """A `llama_adapter_lora`, which its model owns and frees. Raises AdapterError."""

    def __init__(self, model: Model, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        if not os.path.isfile(self.path):
            raise AdapterError(f"no such file: {self.path}")
        with library.reasons() as reasons:
            pointer = llama_cpp.llama_adapter_lora_init(model.pointer, self.path.encode())
        if not pointer:
            why = reasons[0] if reasons else "not a GGUF file, or damaged"
            raise AdapterError(f"llama.cpp cannot load the adapter {self.path} for {model.path}: {why}")
        self.pointer = pointer
        if llama_cpp.llama_adapter_get_alora_n_invocation_tokens(pointer):
            raise AdapterError(f"{self.path} is an activated adapter (aLoRA); those are not supported")
