"""What an engine is told of llama.cpp's own options: where the weights go, and how texts are computed."""

import re

import msgspec

# What the feed-forward weights of a layer's experts are called (`LLM_FFN_EXPS_REGEX` in llama.cpp).
_EXPERTS = r"\.ffn_(up|down|gate|gate_up)_(ch|)exps"
# What ggml calls the memory that a processor computes in.
CPU_BUFFER = "CPU"


class WeightOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How weights are read and where they go, under llama.cpp's names.

    `tensor_split` has a share for each GPU; empty, they share by their free memory. `override_tensor` pairs
    patterns of names of tensors with names of buffers; `numa` empty is none of llama.cpp's ways.
    """

    load_mode: str = "auto"
    numa: str = ""
    split_mode: str = "layer"
    main_gpu: int = 0
    tensor_split: tuple[float, ...] = ()
    n_cpu_moe: int = 0
    override_tensor: tuple[tuple[str, str], ...] = ()

    @property
    def overrides(self) -> tuple[tuple[str, str], ...]:
        """Patterns of names, each with the buffer that such tensors go to; the first that fits counts."""
        if not self.n_cpu_moe:
            return self.override_tensor
        layers = "|".join(map(str, range(self.n_cpu_moe)))
        return (*self.override_tensor, (rf"blk\.({layers}){_EXPERTS}", CPU_BUFFER))

    def buffer_of(self, tensor: str) -> str | None:
        """Name the buffer that a tensor is put into by name; None where it goes with its layer."""
        return next((buffer for pattern, buffer in self.overrides if re.search(pattern, tensor)), None)


class ContextOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How texts are computed and kept, under llama.cpp's names. None leaves a value to the model's file.

    `threads_batch` 0 means as many as there are for other steps. `control_vectors` are files with how
    strongly each counts, added up, for the layers from the first to the last of `control_vector_layers`.
    """

    threads_batch: int = 0
    cache_type_k: str = "f16"
    cache_type_v: str = "f16"
    flash_attn: str = "auto"
    rope_scaling: str | None = None
    rope_freq_base: float | None = None
    rope_freq_scale: float | None = None
    yarn_orig_ctx: int | None = None
    yarn_ext_factor: float | None = None
    yarn_attn_factor: float | None = None
    yarn_beta_slow: float | None = None
    yarn_beta_fast: float | None = None
    control_vectors: tuple[tuple[str, float], ...] = ()
    control_vector_layers: tuple[int, int] | None = None

    @property
    def has_flash_attention(self) -> bool:
        """Whether llama.cpp uses it wherever it can."""
        return self.flash_attn != "off"

    @property
    def cells(self) -> str:
        """Say how keys and values are stored, for people; empty where that is as usual."""
        if self.cache_type_k == self.cache_type_v == "f16":
            return ""
        return f"keys {self.cache_type_k}, values {self.cache_type_v}"


PLAIN_WEIGHTS = WeightOptions()
PLAIN_CONTEXT = ContextOptions()
