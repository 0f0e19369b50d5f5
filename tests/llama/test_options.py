"""llama.cpp's own options, against its C API with the same settings and nothing of ours in between."""

import logging
import re
from typing import Any

import llama_cpp
import numpy as np
import pytest
from caravan.config.llama_config import WeightOptions
from caravan.config.llama_options import LlamaOptions
from caravan.llama.cache_types import NUMBERS
from caravan.llama.context import ContextError
from caravan.llama.gguf_header import read_header
from caravan.llama.model import Model, ModelLoadError

from tests.conftest import TinyModels
from tests.llama.option_contexts import PROMPT, Heads, Opened, bare, compute


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ({"flash_attn": "off"}, {"flash_attn_type": 0}),
        ({"flash_attn": "off", "cache_type_k": "q8_0"}, {"flash_attn_type": 0, "type_k": NUMBERS["q8_0"]}),
        ({"flash_attn": "on"}, {"flash_attn_type": 1}),
        ({"cache_type_k": "q8_0"}, {"type_k": NUMBERS["q8_0"]}),
        ({"cache_type_v": "q4_0"}, {"type_v": NUMBERS["q4_0"]}),
        ({"rope_freq_base": 500.0}, {"rope_freq_base": 500.0}),
        ({"rope_freq_scale": 0.25}, {"rope_freq_scale": 0.25}),
        (
            {"rope_scaling": "linear", "rope_freq_scale": 0.5},
            {"rope_scaling_type": 1, "rope_freq_scale": 0.5},
        ),
        (
            {"rope_scaling": "yarn", "rope_freq_scale": 0.25, "yarn_orig_ctx": 64, "yarn_beta_fast": 16.0},
            {"rope_scaling_type": 2, "rope_freq_scale": 0.25, "yarn_orig_ctx": 64, "yarn_beta_fast": 16.0},
        ),
        (
            {"rope_scaling": "yarn", "rope_freq_scale": 0.5, "yarn_ext_factor": 0.0, "yarn_attn_factor": 0.8},
            {"rope_scaling_type": 2, "rope_freq_scale": 0.5, "yarn_ext_factor": 0.0, "yarn_attn_factor": 0.8},
        ),
        (
            {"rope_scaling": "yarn", "rope_freq_scale": 0.25, "yarn_ext_factor": 0.5, "yarn_beta_slow": 2.0},
            {"rope_scaling_type": 2, "rope_freq_scale": 0.25, "yarn_ext_factor": 0.5, "yarn_beta_slow": 2.0},
        ),
    ],
    ids=lambda value: "-".join(map(str, value)) if "rope_scaling_type" not in value else "",
)
def test_options_give_what_llama_cpp_gives_with_them(
    heads: Heads, with_options: Opened, options: dict[str, Any], changes: dict[str, Any]
) -> None:
    path = heads.by_size[32]
    found = compute(with_options(path, **options), (0, 0, PROMPT))
    np.testing.assert_array_equal(found, bare(path, **changes))
    usual = compute(with_options(path), (0, 0, PROMPT))
    # Flash attention of our build, on or left to llama.cpp, is the same.
    assert np.array_equal(found, usual) == (options == {"flash_attn": "on"})


def test_what_llama_cpp_refuses_is_told_with_its_reason(
    heads: Heads, tiny_models: TinyModels, with_options: Opened
) -> None:
    with pytest.raises(ContextError, match="quantized V cache requires flash_attn"):
        with_options(heads.by_size[32], flash_attn="off", cache_type_v="q8_0")
    with pytest.raises(
        ContextError, match=r"K cache type q8_0 with block size 32 does not divide n_embd_head_k=16"
    ):
        with_options(tiny_models["llama"], cache_type_k="q8_0")
    with pytest.raises(ContextError, match="does not rotate positions"):
        with_options(tiny_models["mamba"], rope_freq_base=100.0)


def test_weights_come_the_same_by_every_way(
    heads: Heads, with_options: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = compute(with_options(heads.experts), (0, 0, PROMPT))
    given: list[Any] = []
    load = llama_cpp.llama_model_load_from_file

    def noting(path: bytes, params: Any) -> Any:  # noqa: ANN401 (llama.cpp's)
        shares = params.tensor_split[:3] if params.tensor_split else None
        given.append((params.load_mode, params.split_mode, params.main_gpu, shares))
        return load(path, params)

    monkeypatch.setattr(llama_cpp, "llama_model_load_from_file", noting)
    for weights in (
        WeightOptions(load_mode="none"),
        WeightOptions(load_mode="mmap"),
        WeightOptions(load_mode="mlock"),
        WeightOptions(load_mode="mmap+mlock"),
        WeightOptions(load_mode="dio", tensor_split=(3.0, 1.0)),
        WeightOptions(n_cpu_moe=1, override_tensor=(("attn_q", "CPU"),)),
        WeightOptions(split_mode="none"),
    ):
        np.testing.assert_array_equal(compute(with_options(heads.experts, weights), (0, 0, PROMPT)), usual)
    assert [modes[0] for modes in given] == [0, 1, 2, 3, 4, -1, -1]
    assert given[4][1:] == (1, 0, [3.0, 1.0, 0.0])
    assert given[6][1:] == (0, 0, None)


def test_patterns_choose_weights_as_llama_cpp_chooses(heads: Heads, caplog: pytest.LogCaptureFixture) -> None:
    """It logs each weight that an override takes."""
    weights = WeightOptions(n_cpu_moe=1, override_tensor=((r"blk\.1\.attn_[qk]", "CPU"),))
    with caplog.at_level(logging.DEBUG, logger="llama.cpp"):
        Model(heads.experts, weights=weights).close()
    logged = set(re.findall(r"tensor (\S+) \(.*buffer type overridden to", caplog.text))
    known = read_header(heads.experts).tensors
    assert logged == {name for name in known if weights.buffer_of(name) == "CPU"}
    kinds = ("ffn_gate_exps", "ffn_up_exps", "ffn_down_exps")
    assert logged == {f"blk.0.{kind}.weight" for kind in kinds} | {
        "blk.1.attn_q.weight",
        "blk.1.attn_k.weight",
    }


def test_a_buffer_that_is_not_there_is_told_with_those_that_are(heads: Heads) -> None:
    with pytest.raises(ModelLoadError, match=r"no buffer 'CUDA7' here; there are CPU"):
        Model(heads.experts, weights=WeightOptions(override_tensor=(("exps", "CUDA7"),)))


def test_names_and_shares_come_from_options() -> None:
    options = LlamaOptions.model_validate(
        {
            "override_tensor": "_exps=CPU,attn=CUDA0",
            "tensor_split": "3,1",
            "rope_scale": 4,
            "n_cpu_moe": 2,
            "numa": "isolate",
        }
    )
    weights = options.weight_options()
    assert weights.tensor_split == (3.0, 1.0)
    assert weights.override_tensor == (("_exps", "CPU"), ("attn", "CUDA0"))
    assert [weights.buffer_of(name) for name in ("blk.1.ffn_up_exps", "blk.9.attn_q", "blk.1.ffn_up")] == [
        "CPU",
        "CUDA0",
        None,
    ]
    assert (weights.numa, options.context_options().rope_freq_scale) == ("isolate", 0.25)
