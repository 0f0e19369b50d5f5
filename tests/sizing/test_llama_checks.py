"""Options that a model or a machine cannot have, and those that change nothing there."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from caravan.config.engine_config import EngineConfig
from caravan.config.llama_config import ContextOptions, WeightOptions
from caravan.llama.gguf_header import GgufHeader, HeaderError
from caravan.sizing.kv_bytes import bytes_per_cell
from caravan.sizing.llama_checks import OptionError, check_model, check_options, unused_options
from caravan.sizing.sizes import Resources, settle

from tests.conftest import TinyModels
from tests.sizing.test_sizes import ENCODER, HEADER, LAYERED, PLENTY, gpu
from tests.tiny_heads import write_control_vector


def with_metadata(**changes: Any) -> GgufHeader:  # noqa: ANN401
    named = {f"llama.{name.replace('__', '.')}": value for name, value in changes.items()}
    return dataclasses.replace(HEADER, metadata={**HEADER.metadata, **named})


def fault(header: GgufHeader, num_gpus: int = 0, weights: WeightOptions | None = None, **context: Any) -> str:  # noqa: ANN401
    options = EngineConfig(
        model_path="m.gguf", context=ContextOptions(**context), weights=weights or WeightOptions()
    )
    try:
        check_options(options, header, num_gpus)
    except OptionError as error:
        return str(error)
    return ""


def unused(header: GgufHeader, num_gpus: int = 0, **weights: Any) -> list[str]:  # noqa: ANN401
    config = EngineConfig(model_path="m.gguf", weights=WeightOptions(**weights))
    return list(unused_options(config, header, num_gpus))


def test_blocks_have_to_divide_heads() -> None:
    assert fault(HEADER, cache_type_k="q8_0", cache_type_v="q4_0") == ""
    odd = with_metadata(attention__key_length=80, attention__value_length=96)
    assert "m.gguf: cache_type_k q4_0 stores 32 numbers together, and a head of this model has 80" in fault(
        odd, cache_type_k="q4_0"
    )
    assert fault(odd, cache_type_v="q4_0", cache_type_k="bf16") == ""
    # An encoder keeps nothing in cells.
    assert fault(ENCODER, cache_type_k="q8_0") == ""


def test_latent_attention_has_one_type() -> None:
    latent = with_metadata(attention__kv_lora_rank=512, rope__dimension_count=64)
    assert "have to be the same" in fault(latent, cache_type_k="q8_0")
    assert fault(latent, cache_type_k="q8_0", cache_type_v="q8_0") == ""


def test_scaled_positions_that_change_nothing() -> None:
    assert "rope_scaling yarn changes nothing without rope_scale" in fault(HEADER, rope_scaling="yarn")
    assert fault(HEADER, rope_scaling="yarn", rope_freq_scale=0.5, yarn_orig_ctx=100) == ""
    assert "yarn_orig_ctx changes nothing without YaRN" in fault(HEADER, yarn_orig_ctx=100)
    yarn = with_metadata(rope__scaling__type="yarn", rope__scaling__factor=4.0)
    assert fault(yarn, rope_scaling="yarn", yarn_beta_fast=16.0) == ""
    assert fault(yarn, yarn_beta_slow=2.0) == ""
    assert "yarn_attn_factor changes nothing unless" in fault(yarn, yarn_attn_factor=0.5)
    assert fault(yarn, yarn_attn_factor=0.5, yarn_ext_factor=0.0) == ""
    assert "yarn_beta_slow changes nothing" in fault(yarn, yarn_beta_slow=2.0, yarn_ext_factor=0.0)
    plain = with_metadata(rope__scaling__type="none")
    assert "set rope_scaling" in fault(plain, rope_freq_scale=0.5)


def test_gpus_that_are_not_there() -> None:
    second = WeightOptions(split_mode="none", main_gpu=1)
    assert "main_gpu 1 counts from 0, and there is 1 GPU" in fault(HEADER, 1, second)
    assert fault(HEADER, 2, second) == ""
    three = WeightOptions(tensor_split=(1, 1, 1))
    assert "tensor_split has 3 shares, and there are 2 GPUs" in fault(HEADER, 2, three)
    assert unused(HEADER, 1, tensor_split=(1,)) == []
    assert unused(HEADER, split_mode="row") == ["no sharing among GPUs, as llama.cpp finds none"]


def test_what_changes_nothing_is_said() -> None:
    assert unused(HEADER, n_cpu_moe=3) == ["no n_cpu_moe, as this model has no experts"]
    experts = with_metadata(expert_count=8)
    assert unused(experts, n_cpu_moe=3) == []
    patterns = (("weights", "CPU"), ("attn_.*", "CPU"))
    assert unused(LAYERED, override_tensor=patterns) == [
        "no override_tensor 'attn_.*', as no weight of this model has such a name"
    ]
    config = EngineConfig(model_path="m", context=ContextOptions(cache_type_k="q8_0"))
    assert list(unused_options(config, ENCODER, 0)) == [
        "no cache types q8_0 and f16, as this model has no cells"
    ]


def test_cells_of_fewer_bytes_are_more_cells() -> None:
    def cells(kind: str) -> int:
        options = ContextOptions(cache_type_k=kind, cache_type_v=kind)
        config = EngineConfig(model_path="", context_size=512, context=options)
        usual = settle(EngineConfig(model_path="", num_cells=8192), HEADER, Resources(memory=PLENTY, cores=2))
        tight = Resources(memory=usual.memory.at_start - (400 << 20), cores=2)
        sizes = settle(config, HEADER, tight)
        host = sizes.config.num_host_cache_tokens or 0
        assert sizes.memory.host_cache == host * bytes_per_cell(HEADER, options)
        return sizes.config.num_cells

    assert cells("f16") < cells("q8_0") == 8192
    assert bytes_per_cell(HEADER, ContextOptions(cache_type_k="q8_0", cache_type_v="q4_0")) == (
        32 * (1024 // 32) * (34 + 18)
    )
    assert bytes_per_cell(HEADER) == 32 * 1024 * 2 * 2


def test_one_gpu_alone_is_counted_alone() -> None:
    config = EngineConfig(model_path="", weights=WeightOptions(split_mode="none", main_gpu=1))
    given = Resources(memory=PLENTY, cores=2, gpus=(gpu(24 << 30), gpu(3 << 30)))
    sizes = settle(config, LAYERED, given)
    assert sizes.placement.taken[0] == 0
    assert 0 < sizes.placement.taken[1] < 3 << 30
    assert not sizes.placement.has_all


def test_a_file_and_its_control_vector_are_checked(tiny_models: TinyModels, tmp_path: Path) -> None:
    write_control_vector(tmp_path / "v.gguf", {})
    config = EngineConfig(
        model_path=str(tiny_models["llama"]),
        context=ContextOptions(control_vectors=((str(tmp_path / "v.gguf"), 1.0),)),
    )
    with pytest.raises(HeaderError, match="there is no direction in it"):
        check_model(config)
