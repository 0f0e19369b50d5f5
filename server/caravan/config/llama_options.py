"""Options that are llama.cpp's own, under its names; each holds for a model."""

import math
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, NonNegativeFloat

from caravan.config.llama_config import ContextOptions, WeightOptions
from caravan.config.option_types import items, pairs
from caravan.config.paths import file_path

_NUM_ENDS = 2
_MAX_GPUS = 16  # `llama_max_devices`, which the command line does not load llama.cpp for


def _checked_patterns(overrides: dict[str, str]) -> dict[str, str]:
    for pattern in overrides:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"'{pattern}' is no regular expression: {error}") from error
    return overrides


def _checked_scaled(text: str) -> str:
    name, _, scale = text.rpartition(":")
    try:
        is_number = math.isfinite(float(scale))
    except ValueError:
        is_number = False
    if not name or not is_number:
        raise ValueError(f"'{text}' should be FILE:SCALE, such as happy.gguf:0.8")
    file_path(Path(name))
    return text


def _checked_shares(shares: list[float]) -> list[float]:
    if shares and not any(shares):
        raise ValueError("one share at least has to be above 0")
    return shares


def _checked_range(ends: list[int]) -> list[int]:
    if ends and (len(ends) != _NUM_ENDS or not 1 <= ends[0] <= ends[1]):
        raise ValueError("should be the first layer and the last one, such as 10,20; layers count from 1")
    return ends


CacheType = Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"]
# Those that keep whole numbers in blocks, with a scale for each.
QUANTIZED = ("q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")
_Factor = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Share = Annotated[NonNegativeFloat, Field(allow_inf_nan=False)]
_Shares = Annotated[
    list[_Share], Field(max_length=_MAX_GPUS), BeforeValidator(items), AfterValidator(_checked_shares)
]
_Overrides = Annotated[dict[str, str], BeforeValidator(pairs), AfterValidator(_checked_patterns)]
_Files = Annotated[list[Annotated[Path, AfterValidator(file_path)]], BeforeValidator(items)]
_Scaled = Annotated[list[Annotated[str, AfterValidator(_checked_scaled)]], BeforeValidator(items)]
_Adapters = Annotated[
    dict[Annotated[str, Field(pattern=r"^[^\x00-\x20\x7f]+$")], Annotated[Path, AfterValidator(file_path)]],
    BeforeValidator(pairs),
]
_Range = Annotated[list[int], BeforeValidator(items), AfterValidator(_checked_range)]


class LlamaOptions(BaseModel):
    """What llama.cpp lets its users choose, for every model of the server unless it has its own."""

    cache_type_k: CacheType = Field(
        default="f16",
        description="How keys are stored in the KV cache. q8_0 takes 53 % of the memory of f16, q4_0 28 %.",
    )
    cache_type_v: CacheType = Field(
        default="f16",
        description="How values are stored in the KV cache. Quantized ones need flash attention.",
    )
    flash_attn: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="Flash attention. auto: wherever the device of a layer has it. off takes memory for each "
        "pair of tokens.",
    )
    threads_batch: int = Field(
        default=0,
        ge=0,
        le=512,
        description="Threads for steps of more than one token: prompts, and several sequences at once. "
        "0: as many as --threads.",
    )
    load_mode: Literal["auto", "none", "mmap", "mlock", "mmap+mlock", "dio"] = Field(
        default="auto",
        description="How weights are read. auto: mapped (mmap), unless a device cannot have that. none: "
        "copied into memory. mlock: copied, and kept from being swapped out. dio: past the system's cache of "
        "files.",
    )
    numa: Literal["distribute", "isolate", "numactl"] | None = Field(
        default=None,
        description="On machines with several memory nodes: spread threads over all (distribute), keep to "
        "one (isolate), or to what numactl allows.",
        examples=["distribute"],
    )
    split_mode: Literal["layer", "none", "row", "tensor"] = Field(
        default="layer",
        description="What several GPUs share: layers, or rows of weights; none uses --main-gpu alone. tensor "
        "is an experiment of llama.cpp.",
    )
    main_gpu: int = Field(
        default=0, ge=0, lt=_MAX_GPUS, description="The GPU to use with --split-mode none, from 0."
    )
    tensor_split: _Shares = Field(
        default=[],
        description="Share of the model for each GPU, such as 3,1. Default: by the memory that is free on "
        "each.",
    )
    n_cpu_moe: int = Field(
        default=0,
        ge=0,
        le=512,
        description="Keep the experts of the first so many layers with the processor, while the rest of "
        "these layers may be on a GPU. As many as there are layers, or more: all experts.",
    )
    override_tensor: _Overrides = Field(
        default={},
        description="Buffers for weights by name, as PATTERN=BUFFER,... such as '_exps=CPU'; the first "
        "regular expression that is found in a name counts, before --n-cpu-moe.",
    )
    rope_scaling: Literal["none", "linear", "yarn"] | None = Field(
        default=None,
        description="How positions are scaled for longer texts. Default: the model's own way.",
        examples=["yarn"],
    )
    rope_scale: _Factor | None = Field(
        default=None,
        description="How many times longer texts become by scaling positions: 1 / rope-freq-scale.",
        examples=[4.0],
    )
    rope_freq_base: _Factor | None = Field(
        default=None, description="Base of the positions' frequencies. Default: the model's.", examples=[1e6]
    )
    yarn_orig_ctx: Annotated[int, Field(gt=0, le=2**27)] | None = Field(
        default=None,
        description="YaRN: the context that the model was trained with. Default: what its file says.",
        examples=[32768],
    )
    yarn_ext_factor: _Share | None = Field(
        default=None,
        description="YaRN: how much is extrapolated; 0 interpolates all. Default: 1 with YaRN.",
        examples=[1.0],
    )
    yarn_attn_factor: _Share | None = Field(
        default=None,
        description="Scale of attention. llama.cpp computes it itself where --yarn-ext-factor is not 0.",
        examples=[1.0],
    )
    yarn_beta_slow: _Share | None = Field(
        default=None, description="YaRN: the high correction dimension. Default: 1.", examples=[1.0]
    )
    yarn_beta_fast: _Share | None = Field(
        default=None, description="YaRN: the low correction dimension. Default: 32.", examples=[32.0]
    )
    control_vector: _Files = Field(
        default=[], description="GGUF files of control vectors, which are added to what layers give."
    )
    control_vector_scaled: _Scaled = Field(
        default=[], description="The same with how strongly each counts, as FILE:SCALE,..."
    )
    control_vector_layer_range: _Range = Field(
        default=[], description="First and last layer for control vectors, as START,END. Default: all."
    )

    lora: _Adapters = Field(
        default={},
        description="LoRA adapters, as NAME=FILE,...: each is a model of its own name, which shares the "
        "weights.",
    )

    def llama_contradiction(self) -> str | None:
        """Why two of llama.cpp's options cannot both hold, in one line; None where they can."""
        return next((reason for is_so, reason in self._contradictions() if is_so), None)

    def _contradictions(self) -> list[tuple[bool, str]]:
        is_off, mode = self.flash_attn == "off", self.split_mode
        has_vectors = bool(self.control_vector or self.control_vector_scaled)
        is_quantized = self.cache_type_v in QUANTIZED
        return [
            (
                is_off and is_quantized,
                f"cache_type_v {self.cache_type_v} needs flash attention, and flash_attn is off",
            ),
            (is_off and mode == "tensor", "split_mode tensor needs flash attention, and flash_attn is off"),
            (
                self.main_gpu > 0 and mode != "none",
                f"main_gpu {self.main_gpu} has no effect with split_mode {mode}, only with none",
            ),
            (
                bool(self.tensor_split) and mode == "none",
                "tensor_split has no effect with split_mode none: one GPU has it all",
            ),
            (
                self.rope_scale is not None and self.rope_scaling == "none",
                "rope_scale has no effect with rope_scaling none",
            ),
            (
                bool(self.control_vector_layer_range) and not has_vectors,
                "control_vector_layer_range has no effect without a control_vector",
            ),
        ]

    def weight_options(self) -> WeightOptions:
        """Tell an engine where weights go."""
        return WeightOptions(
            load_mode=self.load_mode,
            numa=self.numa or "",
            split_mode=self.split_mode,
            main_gpu=self.main_gpu,
            tensor_split=tuple(self.tensor_split),
            n_cpu_moe=self.n_cpu_moe,
            override_tensor=tuple(self.override_tensor.items()),
        )

    def context_options(self) -> ContextOptions:
        """Tell an engine how texts are computed."""
        scaled = [text.rpartition(":") for text in self.control_vector_scaled]
        vectors = [(str(path), 1.0) for path in self.control_vector]
        vectors += [(str(Path(name).expanduser()), float(scale)) for name, _, scale in scaled]
        ends = self.control_vector_layer_range
        return ContextOptions(
            threads_batch=self.threads_batch,
            cache_type_k=self.cache_type_k,
            cache_type_v=self.cache_type_v,
            flash_attn=self.flash_attn,
            rope_scaling=self.rope_scaling,
            rope_freq_base=self.rope_freq_base,
            rope_freq_scale=1 / self.rope_scale if self.rope_scale else None,
            yarn_orig_ctx=self.yarn_orig_ctx,
            yarn_ext_factor=self.yarn_ext_factor,
            yarn_attn_factor=self.yarn_attn_factor,
            yarn_beta_slow=self.yarn_beta_slow,
            yarn_beta_fast=self.yarn_beta_fast,
            control_vectors=tuple(vectors),
            control_vector_layers=(ends[0], ends[1]) if ends else None,
        )
