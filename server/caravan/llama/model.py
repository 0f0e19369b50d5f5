"""A GGUF file, opened."""

import contextlib
import enum
import functools
import os
from collections.abc import Callable

import llama_cpp

from caravan.config.llama_config import PLAIN_WEIGHTS, WeightOptions
from caravan.llama import library
from caravan.llama.gguf_header import read_architecture
from caravan.llama.vocab import Vocab
from caravan.llama.weight_params import UnknownBufferError, set_weight_params

# Widespread families that have no recurrent layer: asking llama.cpp about them takes a fifth of a second.
_ATTENTION_ONLY = frozenset(
    (
        *(
            "llama",
            "llama4",
            "mistral3",
            "qwen2",
            "qwen2moe",
            "qwen3",
            "qwen3moe",
            "gemma",
            "gemma2",
            "gemma3",
        ),
        *("phi2", "phi3", "gpt-oss", "deepseek2", "glm4", "glm4moe", "olmo2", "smollm3", "granite"),
    )
)


class ModelLoadError(Exception):
    """The file is missing, no GGUF, or of an architecture that this llama.cpp does not know."""


class MemoryKind(enum.Enum):
    """What a sequence leaves in memory, which decides how much of it can be reused."""

    ATTENTION = "attention"
    SLIDING_WINDOW = "sliding_window"
    RECURRENT = "recurrent"
    HYBRID = "hybrid"


class Model:
    """Owns a `llama_model`. With `vocab_only` no weights are read: tokenizer, template and metadata alone.

    `opened` is called when the file's vocabulary has been read, before its weights are.
    Raises ModelLoadError. Close it after every context made from it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        vocab_only: bool = False,
        num_gpu_layers: int = -1,
        use_extra_buffers: bool = True,
        weights: WeightOptions = PLAIN_WEIGHTS,
        opened: Callable[[], None] = lambda: None,
    ) -> None:
        library.start()
        self.path = os.fspath(path)
        if not os.path.isfile(self.path):
            raise ModelLoadError(f"no such file: {self.path}")
        params = llama_cpp.llama_model_default_params()
        params.vocab_only = vocab_only
        params.n_gpu_layers = num_gpu_layers
        try:
            kept = set_weight_params(params, weights)
        except UnknownBufferError as error:
            raise ModelLoadError(str(error)) from error
        # With Intel AMX these buffers corrupt memory on the three-dimensional products of recurrent layers:
        # ggml_backend_amx_mul_mat strides a weight by the index of the sequence in the batch.
        params.use_extra_bufts = use_extra_buffers and not vocab_only and not _is_recurrent(self.path)
        once = _Once(opened)
        params.progress_callback = llama_cpp.llama_progress_callback(once.progress)
        with library.reasons() as reasons:
            self._pointer = llama_cpp.llama_model_load_from_file(self.path.encode(), params)
        if not self._pointer:
            why = reasons[0] if reasons else "not a GGUF file, damaged, or unknown to it"
            raise ModelLoadError(f"llama.cpp cannot load {self.path}: {why}")
        kept.clear()
        once.progress(1.0, None)
        self._exit = contextlib.ExitStack()
        self._exit.callback(llama_cpp.llama_model_free, self._pointer)
        if llama_cpp.llama_model_has_encoder(self._pointer):
            self.close()
            raise ModelLoadError(f"{self.path} is a model with an encoder, such as T5; those are not served")
        self.vocab = Vocab(llama_cpp.llama_model_get_vocab(self._pointer))
        self.training_context = int(llama_cpp.llama_model_n_ctx_train(self._pointer))

    @property
    def pointer(self) -> int:
        """The native handle, for `Context`."""
        return int(self._pointer)

    @functools.cached_property
    def metadata(self) -> dict[str, str]:
        """Scalar GGUF metadata as strings; arrays come out as llama.cpp abbreviates them."""
        pairs = {}
        for index in range(llama_cpp.llama_model_meta_count(self._pointer)):
            key = _read_string(llama_cpp.llama_model_meta_key_by_index, self._pointer, index)
            pairs[key] = _read_string(llama_cpp.llama_model_meta_val_str_by_index, self._pointer, index)
        return pairs

    def chat_template(self, name: str | None = None) -> str | None:
        """Return the Jinja text of the default template, or of one with a name, if the file has it."""
        text = llama_cpp.llama_model_chat_template(self._pointer, None if name is None else name.encode())
        return None if text is None else text.decode("utf-8", errors="replace")

    @property
    def num_layers(self) -> int:
        """How many layers the network has (`llama_model_n_layer`)."""
        return int(llama_cpp.llama_model_n_layer(self._pointer))

    @property
    def hidden_size(self) -> int:
        """Length of the vectors that go from layer to layer (`llama_model_n_embd`)."""
        return int(llama_cpp.llama_model_n_embd(self._pointer))

    @property
    def input_size(self) -> int:
        """Length of the vectors that may stand for tokens, which some models want longer than
        `hidden_size` (`llama_model_n_embd_inp`).
        """
        return int(llama_cpp.llama_model_n_embd_inp(self._pointer))

    @property
    def num_position_parts(self) -> int:
        """How many numbers the position of an image's cell has: four with M-RoPE, else one."""
        kind = llama_cpp.llama_model_rope_type(self._pointer)
        return 4 if kind in (llama_cpp.LLAMA_ROPE_TYPE_MROPE, llama_cpp.LLAMA_ROPE_TYPE_IMROPE) else 1

    @property
    def has_rotary_positions(self) -> bool:
        """Whether positions are told to attention by rotating (`llama_model_rope_type`)."""
        return bool(llama_cpp.llama_model_rope_type(self._pointer) != llama_cpp.LLAMA_ROPE_TYPE_NONE)

    @property
    def head_sizes(self) -> set[int]:
        """The lengths of keys and values of one head, as far as the file says."""
        architecture = self.metadata.get("general.architecture")
        names = [f"{architecture}.attention.{name}" for name in ("key_length", "value_length")]
        sizes = {int(self.metadata[name]) for name in names if self.metadata.get(name, "").isdecimal()}
        num_heads = int(llama_cpp.llama_model_n_head(self._pointer))
        return sizes or {self.hidden_size // max(num_heads, 1)}

    @functools.cached_property
    def memory_kind(self) -> MemoryKind:
        """What kind of memory a context of this model has."""
        if llama_cpp.llama_model_is_recurrent(self._pointer):
            return MemoryKind.RECURRENT
        if llama_cpp.llama_model_is_hybrid(self._pointer):
            return MemoryKind.HYBRID
        if self.sliding_window > 0:
            return MemoryKind.SLIDING_WINDOW
        return MemoryKind.ATTENTION

    @property
    def embedding_size(self) -> int:
        """Length of the vectors that the model makes of tokens (`llama_model_n_embd_out`)."""
        return int(llama_cpp.llama_model_n_embd_out(self._pointer))

    @property
    def num_ranks(self) -> int:
        """Numbers that the head of a ranking model makes of a pair of texts (`llama_model_n_cls_out`)."""
        return int(llama_cpp.llama_model_n_cls_out(self._pointer))

    @property
    def pooling(self) -> int | None:
        """llama.cpp's number of how token vectors become one, if the file says so."""
        value = self.metadata.get(f"{self.metadata.get('general.architecture')}.pooling_type")
        return None if value is None else int(value)

    @property
    def sliding_window(self) -> int:
        """Window of the sliding layers in tokens, 0 where there are none (`llama_model_n_swa`)."""
        return int(llama_cpp.llama_model_n_swa(self._pointer))

    def close(self) -> None:
        """Free the native model; a second call does nothing."""
        self._exit.close()


class _Once:
    """llama.cpp tells of its progress with every tensor; what is wanted is the first time."""

    def __init__(self, then: Callable[[], None]) -> None:
        self._then: Callable[[], None] | None = then

    def progress(self, _share: float, _data: object) -> bool:
        """Go on (`llama_progress_callback`)."""
        then, self._then = self._then, None
        if then is not None:
            then()
        return True


def _is_recurrent(path: str) -> bool:
    """Whether any layer keeps recurrent state; asked of the vocabulary alone, before weights are placed."""
    if read_architecture(path) in _ATTENTION_ONLY:
        return False
    model = Model(path, vocab_only=True)
    try:
        return model.memory_kind in (MemoryKind.RECURRENT, MemoryKind.HYBRID)
    finally:
        model.close()


def _read_string(getter: "llama_cpp.ctypes._FuncPointer", model: int, index: int) -> str:
    room = 256
    while True:
        buffer = llama_cpp.ctypes.create_string_buffer(room)
        length = getter(model, index, buffer, room)
        if length < room:
            return str(buffer.value.decode("utf-8", errors="replace"))
        room = length + 1
