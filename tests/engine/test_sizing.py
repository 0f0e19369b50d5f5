"""Sizes by default, on machines with more and with less memory."""

from pathlib import Path

import pytest

from server.engine.config import EngineConfig
from server.engine.sizing import fitted, shrunk
from server.llama.estimate import bytes_per_cell, estimate
from server.llama.gguf_header import GgufHeader
from tests.conftest import TinyModels

# Of the size of an 8B model: 128 KiB a cell.
HEADER = GgufHeader(
    path=Path("model.gguf"),
    metadata={
        "general.architecture": "llama",
        "llama.block_count": 32,
        "llama.embedding_length": 4096,
        "llama.feed_forward_length": 14336,
        "llama.attention.head_count": 32,
        "llama.attention.head_count_kv": 8,
        "llama.context_length": 131072,
    },
    lengths={"tokenizer.ggml.tokens": 128256},
    num_tensors=291,
    file_size=5 << 30,
)
CONFIG = EngineConfig(model_path="model.gguf")


def need(num_cells: int) -> int:
    return estimate(HEADER, num_cells=num_cells, max_sequences=64, batch_size=512).total


def test_with_plenty_of_memory_the_defaults_stay() -> None:
    config = shrunk(CONFIG, HEADER, 64 << 30)
    assert (config.context_size, config.num_cells) == (8192, 8192)


def test_with_less_memory_there_are_fewer_cells(caplog: pytest.LogCaptureFixture) -> None:
    config = shrunk(CONFIG, HEADER, need(2048))
    assert (config.context_size, config.num_cells) == (2048, 2048)
    assert "2048 KV cells instead of 8192" in caplog.text


def test_what_the_operator_set_stays(tiny_models: TinyModels) -> None:
    sized = shrunk(EngineConfig(model_path="", context_size=4096), HEADER, 0)
    assert (sized.context_size, sized.num_cells) == (4096, 4096)
    config = EngineConfig(model_path=str(tiny_models["qwen2"]), num_cells=9000, num_parked_tokens=7)
    assert fitted(config, 0) is config
    sized = shrunk(EngineConfig(model_path="", num_cells=9000), HEADER, 0)
    assert (sized.num_cells, sized.num_parked_tokens) == (9000, 0)
    sized = shrunk(EngineConfig(model_path="", num_parked_tokens=7), HEADER, 0)
    assert (sized.num_cells, sized.num_parked_tokens) == (512, 7)


def test_parked_tokens_leave_half_of_what_is_left_to_others(caplog: pytest.LogCaptureFixture) -> None:
    a_cell = bytes_per_cell(HEADER)
    assert shrunk(CONFIG, HEADER, need(8192) + 2 * 8192 * a_cell).num_parked_tokens == 8192
    assert not caplog.records
    assert shrunk(CONFIG, HEADER, need(8192) + 2 * 1000 * a_cell).num_parked_tokens == 1000
    assert "may park 1000 tokens instead of 8192" in caplog.text


def test_a_file_is_looked_at_where_memory_is_short(tiny_models: TinyModels, tmp_path: Path) -> None:
    config = EngineConfig(model_path=str(tiny_models["qwen2"]))
    assert fitted(config, 64 << 30) is config
    assert fitted(config, 0).num_cells == 512
    broken = EngineConfig(model_path=str(tmp_path / "none.gguf"))
    assert fitted(broken, 0) is broken


def test_there_is_a_least_number_of_cells() -> None:
    assert shrunk(CONFIG, HEADER, 0).num_cells == 512
