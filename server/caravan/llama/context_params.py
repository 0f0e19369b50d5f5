"""llama.cpp's parameters of computing texts, from options by its names."""

import llama_cpp

from caravan.config.llama_config import ContextOptions
from caravan.llama import library
from caravan.llama.cache_types import NUMBERS
from caravan.llama.model import Model

# Our attention takes heads of so many numbers, or a multiple (`caravan_lanes` with AVX-512; half with AVX2).
LANES = 16
_FLASH_ATTENTION = {"auto": -1, "off": 0, "on": 1}
_ROPE_SCALING = {"none": 0, "linear": 1, "yarn": 2}
_NAMES = (
    *("rope_freq_base", "rope_freq_scale", "yarn_orig_ctx", "yarn_ext_factor", "yarn_attn_factor"),
    *("yarn_beta_slow", "yarn_beta_fast"),
)


def set_cells(params: "llama_cpp.llama_context_params", options: ContextOptions) -> None:
    """Write how keys and values are stored, where that is not as usual."""
    if options.cache_type_k != "f16":
        params.type_k = NUMBERS[options.cache_type_k]
    if options.cache_type_v != "f16":
        params.type_v = NUMBERS[options.cache_type_v]


def set_computing(
    params: "llama_cpp.llama_context_params", options: ContextOptions, num_threads: int
) -> None:
    """Write how texts are computed; what was left open stays as llama.cpp has it."""
    params.n_threads = num_threads
    params.n_threads_batch = options.threads_batch or num_threads
    if options.flash_attn != "auto":
        params.flash_attn_type = _FLASH_ATTENTION[options.flash_attn]
    if options.rope_scaling is not None:
        params.rope_scaling_type = _ROPE_SCALING[options.rope_scaling]
    for name in _NAMES:
        if (value := getattr(options, name)) is not None:
            setattr(params, name, value)


def scales_positions(options: ContextOptions) -> bool:
    """Whether any option is about positions."""
    return any(getattr(options, name) is not None for name in ("rope_scaling", *_NAMES))


def has_tiles(model: Model, options: ContextOptions) -> bool:
    """Whether ggml's attention computes rows of a batch in tiles, where each looks at the others' cells.

    It does so on a processor, with cells of float16, unless it is ours that computes these; cells of float32
    become float16 before (`build_attn_mha`). Those of other types are computed row by row. A GPU's has tiles
    too, but computes rows of many sequences side by side in any case.
    """
    kinds = {options.cache_type_k, options.cache_type_v}
    if library.has_gpu() or not options.has_flash_attention or not kinds <= {"f16", "f32"}:
        return False
    return not (library.has_runs_of_rows() and all(size % LANES == 0 for size in model.head_sizes))
