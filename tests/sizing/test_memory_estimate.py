"""Estimates of memory, held against what llama.cpp really keeps."""

import dataclasses
import os
from typing import Any

import llama_cpp
import numpy as np
import pytest
from caravan.llama.gguf_header import read_header
from caravan.sizing.kv_bytes import book_bytes_per_cell, bytes_per_cell, bytes_per_sequence
from caravan.sizing.memory_estimate import estimate

from tests.conftest import TinyModels
from tests.llama.native import Opener, Run
from tests.tiny_model import SLIDING_WINDOW

F16 = 1
# What a saved sequence has beside keys and values: numbers of positions and sequences.
POSITION = 4
# Both steps lie within the window of layers that see only the latest tokens: no more is saved of those.
STEP = SLIDING_WINDOW // 2


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gemma3", "lfm2"])
def test_a_cell_is_as_large_as_llama_cpps(tiny_models: TinyModels, opened: Opener, architecture: str) -> None:
    context = opened(architecture, type_k=F16, type_v=F16, flash_attn_type=1)
    sizes = []
    for start in (0, STEP):
        assert context.decode(Run(0, start, list(range(STEP)))) == 0
        sizes.append(llama_cpp.llama_state_seq_get_size(context.pointer, 0))
    grown = (sizes[1] - sizes[0]) / STEP
    per_cell = bytes_per_cell(read_header(tiny_models[architecture]))
    # A cell is saved with its position and sequence; sliding windows have a second cache, with its own.
    assert per_cell <= grown <= per_cell + 8 * POSITION


@pytest.mark.parametrize("architecture", ["mamba", "lfm2"])
def test_a_state_is_as_large_as_llama_cpps(
    tiny_models: TinyModels, opened: Opener, architecture: str
) -> None:
    context = opened(architecture, type_k=F16, type_v=F16)
    assert context.decode(Run(0, 0, [1])) == 0
    size = llama_cpp.llama_state_seq_get_size(context.pointer, 0)
    header = read_header(tiny_models[architecture])
    known = bytes_per_sequence(header) + bytes_per_cell(header)
    assert known <= size <= known + 256


def test_the_parts_of_an_estimate(tiny_models: TinyModels) -> None:
    path = tiny_models["qwen2"]
    header = read_header(path)
    sizes: dict[str, Any] = {"num_cells": 1000, "max_sequences": 8, "batch_size": 64}
    found = estimate(header, **sizes)
    assert found.weights == os.stat(path).st_size
    assert found.cells == 1000 * (bytes_per_cell(header) + book_bytes_per_cell(header))
    assert found.total == found.weights + found.cells + found.compute
    assert estimate(header, **{**sizes, "batch_size": 128}).compute > found.compute
    assert estimate(header, **{**sizes, "max_sequences": 16}).compute > found.compute


def test_latent_attention_keeps_one_vector_for_all_heads(tiny_models: TinyModels) -> None:
    header = dataclasses.replace(
        read_header(tiny_models["llama"]),
        metadata={
            "general.architecture": "deepseek2",
            "deepseek2.block_count": 27,
            "deepseek2.attention.kv_lora_rank": 512,
            "deepseek2.rope.dimension_count": 64,
            "deepseek2.attention.head_count": 16,
        },
    )
    assert bytes_per_cell(header) == 27 * (512 + 64) * np.float16().nbytes
