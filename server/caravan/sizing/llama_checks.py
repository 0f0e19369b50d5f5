"""Which of llama.cpp's options a model, by its file's header, or this machine cannot have, and which change
nothing here. llama.cpp itself passes over most of the latter, and ends its process at some of the former.
"""

from collections.abc import Iterator
from pathlib import Path

from caravan.config.engine_config import EngineConfig
from caravan.config.llama_config import ContextOptions, WeightOptions
from caravan.llama.cache_types import block_size
from caravan.llama.control_vector import read_control_vectors
from caravan.llama.gguf_header import GgufHeader, HeaderError, read_header
from caravan.llama.weight_params import num_numa_nodes
from caravan.sizing.kv_bytes import bytes_per_cell, head_sizes

_OF_YARN = ("yarn_orig_ctx", "yarn_beta_slow", "yarn_beta_fast")


class OptionError(HeaderError):
    """An option cannot hold for this model, or on this machine; one line."""


def check_model(config: EngineConfig) -> None:
    """Check a model's file, and what options say of it. Raises HeaderError, OptionError and OSError."""
    header = read_header(config.model_path)
    check_options(config, header, num_gpus=0)
    if vectors := config.context.control_vectors:
        read_control_vectors(vectors, header.count("block_count"), header.count("embedding_length"))


def check_options(config: EngineConfig, header: GgufHeader, num_gpus: int) -> None:
    """Raise OptionError over an option that cannot hold, or that llama.cpp would not follow."""
    for faults in (
        _cell_faults(config.context, header),
        _position_faults(config.context, header),
        _gpu_faults(config.weights, num_gpus),
    ):
        for fault in faults:
            raise OptionError(f"{Path(config.model_path).name}: {fault}")


def unused_options(config: EngineConfig, header: GgufHeader, num_gpus: int) -> Iterator[str]:
    """List, a line each, what changes nothing for this model or on this machine."""
    context, weights = config.context, config.weights
    kinds = (context.cache_type_k, context.cache_type_v)
    if kinds != ("f16", "f16") and not bytes_per_cell(header):
        yield f"no cache types {kinds[0]} and {kinds[1]}, as this model has no cells"
    if weights.n_cpu_moe and not header.count("expert_count"):
        yield "no n_cpu_moe, as this model has no experts"
    names = {name for name in header.tensors if weights.buffer_of(name)}
    for index, (pattern, _) in enumerate(weights.override_tensor):
        alone = WeightOptions(override_tensor=weights.override_tensor[index : index + 1])
        if not any(alone.buffer_of(name) for name in names):
            yield f"no override_tensor '{pattern}', as no weight of this model has such a name"
    if weights.numa and num_numa_nodes() == 1:
        yield f"no numa {weights.numa}, as this machine has one memory node"
    if not num_gpus and config.num_gpu_layers > 0:
        yield "no layers on GPUs, as llama.cpp finds none"
    if not num_gpus and (weights.tensor_split or weights.split_mode != "layer"):
        yield "no sharing among GPUs, as llama.cpp finds none"


def _cell_faults(options: ContextOptions, header: GgufHeader) -> Iterator[str]:
    if not bytes_per_cell(header):
        return
    if header.count("attention.kv_lora_rank"):
        if options.cache_type_k != options.cache_type_v:
            yield (
                f"it keeps keys and values as one, so cache_type_k {options.cache_type_k} and cache_type_v "
                f"{options.cache_type_v} have to be the same"
            )
        return
    kinds = (("cache_type_k", options.cache_type_k), ("cache_type_v", options.cache_type_v))
    for (name, kind), size in zip(kinds, head_sizes(header), strict=True):
        if size % block_size(kind):
            yield (
                f"{name} {kind} stores {block_size(kind)} numbers together, and a head of this model has "
                f"{size}, which is no multiple of that; take f16, bf16 or f32"
            )


def _position_faults(options: ContextOptions, header: GgufHeader) -> Iterator[str]:
    prefix = f"{header.architecture}.rope.scaling"
    scaling = options.rope_scaling or header.text(f"{prefix}.type") or "linear"
    extrapolated = options.yarn_ext_factor
    if extrapolated is None:
        extrapolated = float(scaling == "yarn")
    scale = options.rope_freq_scale or header.metadata.get(f"{prefix}.factor", 1.0)
    if options.rope_scaling in ("linear", "yarn") and scale == 1.0:
        yield f"rope_scaling {scaling} changes nothing without rope_scale"
    if options.rope_freq_scale is not None and scaling == "none":
        yield "rope_scale changes nothing, as the file says that positions are not scaled: set rope_scaling"
    if extrapolated and options.yarn_attn_factor is not None:
        yield "yarn_attn_factor changes nothing unless yarn_ext_factor is 0: llama.cpp computes it"
    for name in _OF_YARN:
        if not extrapolated and getattr(options, name) is not None:
            yield f"{name} changes nothing without YaRN: set rope_scaling yarn"


def _gpu_faults(options: WeightOptions, num_gpus: int) -> Iterator[str]:
    if not num_gpus:
        return
    there_are = "there is 1 GPU" if num_gpus == 1 else f"there are {num_gpus} GPUs"
    if options.split_mode == "none" and options.main_gpu >= num_gpus:
        yield f"main_gpu {options.main_gpu} counts from 0, and {there_are}"
    if len(options.tensor_split) > num_gpus:
        yield f"tensor_split has {len(options.tensor_split)} shares, and {there_are}"
