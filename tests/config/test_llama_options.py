"""llama.cpp's own options: how they are written, and what cannot hold together."""

from pathlib import Path

import pytest
from caravan.models.discovery import CatalogError, model_specs
from caravan.models.engine_config import engine_config

from tests.config.test_settings import read, read_settings
from tests.conftest import TinyModels


def test_options_go_to_the_engine_by_flag_variable_and_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "caravan.toml"
    file.write_text(
        'cache_type_k = "q8_0"\n'
        '[[models]]\npath = "a.gguf"\ncache_type_k = "q5_1"\ntensor_split = [3, 1]\n'
        'override_tensor = { "ffn_.*_exps" = "CPU" }\ncontrol_vector_layer_range = [1, 3]\n'
        'control_vector_scaled = ["v.gguf:-0.5"]\n'
    )
    monkeypatch.setenv("CARAVAN_FLASH_ATTN", "on")
    settings = read_settings(["--config", str(file), "--n-cpu-moe", "4", "--rope-scale", "2"])
    config = engine_config(Path("a"), settings.models[0].completed(settings), 0)
    assert (config.context.cache_type_k, config.context.cache_type_v) == ("q5_1", "f16")
    assert (config.context.flash_attn, config.context.rope_freq_scale) == ("on", 0.5)
    assert config.context.control_vectors == (("v.gguf", -0.5),)
    assert config.context.control_vector_layers == (1, 3)
    assert config.weights.tensor_split == (3.0, 1.0)
    assert config.weights.overrides[0] == ("ffn_.*_exps", "CPU")
    assert config.weights.buffer_of("blk.3.ffn_up_exps.weight") == "CPU"
    assert engine_config(Path("b"), settings, 0).context.cache_type_k == "q8_0"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--cache-type-v", "q8_0", "--flash-attn", "off"], "cache_type_v q8_0 needs flash attention"),
        (["--split-mode", "tensor", "--flash-attn", "off"], "split_mode tensor needs flash attention"),
        (["--main-gpu", "1"], "main_gpu 1 has no effect with split_mode layer, only with none"),
        (
            ["--split-mode", "none", "--tensor-split", "1,1"],
            "tensor_split has no effect with split_mode none",
        ),
        (["--rope-scale", "2", "--rope-scaling", "none"], "has no effect with rope_scaling none"),
        (["--control-vector-layer-range", "1,2"], "has no effect without a control_vector"),
        (["--cache-type-k", "q8_1"], "--cache-type-k: input should be 'f32', 'f16', 'bf16', 'q8_0'"),
        (["--flash-attn", "true"], "--flash-attn: input should be 'auto', 'on' or 'off', not 'true'"),
        (["--tensor-split", "0,0"], "one share at least has to be above 0"),
        (["--tensor-split", "1,x"], "--tensor-split: input should be a valid number"),
        (["--override-tensor", "(=CPU"], "'(' is no regular expression"),
        (["--override-tensor", "exps"], "should be JSON or name=value pairs"),
        (["--lora", "a=x.gguf,b=y.gguf,a=z.gguf"], "has 'a' twice"),
        (["--control-vector-scaled", "v.gguf"], "'v.gguf' should be FILE:SCALE, such as happy.gguf:0.8"),
        (["--control-vector-layer-range", "3,2"], "should be the first layer and the last one"),
        (["--control-vector", "/"], "'/' is a folder, and a regular file is needed"),
        (["--yarn-ext-factor", "-1"], "--yarn-ext-factor: input should be greater than or equal to 0"),
        (["--rope-freq-base", "nan"], "--rope-freq-base: input should be"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_cannot_hold_is_told_by_its_name(flags: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]*$") as caught:
        read(flags)
    assert message.lower() in str(caught.value).lower()


def test_a_table_and_the_server_can_contradict_each_other(tmp_path: Path) -> None:
    file = tmp_path / "caravan.toml"
    file.write_text('flash_attn = "off"\n[[models]]\npath = "a.gguf"\ncache_type_v = "q4_0"\n')
    settings = read_settings(["--config", str(file)])
    with pytest.raises(CatalogError, match=r"models\[0\]: cache_type_v q4_0 needs flash attention"):
        model_specs(settings)


def test_a_model_that_cannot_have_an_option_is_told_at_the_start(tiny_models: TinyModels) -> None:
    settings = read_settings(["--model", str(tiny_models["llama"]), "--cache-type-k", "q8_0"])
    (spec,) = model_specs(settings)
    with pytest.raises(ValueError, match="cache_type_k q8_0 stores 32 numbers together, and a head of this"):
        spec.check_file()
