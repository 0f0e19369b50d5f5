"""What checkpoints take, which layers keep windows alone, and what that takes; held against llama.cpp."""

import dataclasses

import msgspec
import pytest
from caravan.config.engine_config import EngineConfig
from caravan.llama import library
from caravan.llama.gguf_header import GgufHeader, read_header
from caravan.sizing.checkpoint_memory import checkpoint_size, with_checkpoints
from caravan.sizing.kv_bytes import bytes_per_sequence
from caravan.sizing.sizes import need
from caravan.sizing.windows import saved_bytes, window_cells, window_layers

from tests.conftest import TinyModels
from tests.llama.native import Opener, Run, text
from tests.sizing.test_sizes import HEADER, HYBRID, PLENTY, settled

F16, FLASH_ATTENTION, PARTIAL = 1, 1, 1
# Of the size of Gemma 3 1B: 26 KiB a cell, of which 22 are of layers with a window.
GEMMA = dataclasses.replace(
    HEADER,
    metadata={
        "general.architecture": "gemma3",
        "gemma3.block_count": 26,
        "gemma3.embedding_length": 1152,
        "gemma3.feed_forward_length": 6912,
        "gemma3.attention.head_count": 4,
        "gemma3.attention.head_count_kv": 1,
        "gemma3.attention.key_length": 256,
        "gemma3.attention.value_length": 256,
        "gemma3.attention.sliding_window": 512,
        "gemma3.context_length": 32768,
    },
    file_size=1 << 30,
)


def with_pattern(given: object) -> GgufHeader:
    pattern = {"gemma3.attention.sliding_window_pattern": given}
    return dataclasses.replace(GEMMA, metadata={**GEMMA.metadata, **pattern})  # type: ignore[dict-item]


def test_which_layers_keep_windows() -> None:
    assert [index for index, is_window in enumerate(window_layers(GEMMA)) if not is_window] == [5, 11, 17, 23]
    assert window_layers(with_pattern(2))[:4] == (True, False, True, False)
    assert sum(window_layers(with_pattern((True, False, False)))) == 1
    assert not any(window_layers(HEADER))
    unknown = {key.replace("gemma3", "gemma9"): value for key, value in GEMMA.metadata.items()}
    unknown["general.architecture"] = "gemma9"
    assert not any(window_layers(dataclasses.replace(GEMMA, metadata=unknown)))


@pytest.fixture(params=[True, False], ids=["chosen", "not chosen"])
def can_choose(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(library, "can_choose_window_cells", lambda: request.param)
    monkeypatch.setattr(library, "has_gpu", lambda: False)
    return bool(request.param)


@pytest.mark.usefixtures("can_choose")
def test_windows_are_kept_alone_where_that_is_less() -> None:
    config = EngineConfig(model_path="", num_cells=32768, max_sequences=8, batch_size=512)
    assert window_cells(config, GEMMA) == 9 * 512
    assert window_cells(msgspec.structs.replace(config, batch_size=500), GEMMA) == 9 * 512
    assert window_cells(msgspec.structs.replace(config, num_cells=3 * 512), GEMMA) == 0
    for room in (0, 512 * 22 * 1024):
        assert window_cells(msgspec.structs.replace(config, checkpoint_bytes=room), GEMMA) == 0
    sizes = settled(GEMMA, num_cells=32768, context_size=8192, max_sequences=8, max_running=8)
    assert sizes.config.num_window_cells == 9 * 512
    everything = settled(
        GEMMA, num_cells=32768, context_size=8192, max_sequences=8, max_running=8, checkpoint_bytes=0
    )
    assert everything.config.num_window_cells == 0
    saved = (32768 - 9 * 512) * (22 * 1024 + 52)
    assert everything.memory.cells - sizes.memory.cells == saved


def test_they_are_half_where_those_of_all_sequences_would_be_more(can_choose: bool) -> None:
    """Two windows and a batch at least; without the choice llama.cpp has room for those of all."""
    usual = settled(GEMMA)
    assert usual.config.num_cells == 8192
    assert usual.config.num_window_cells == (4096 if can_choose else 0)
    assert settled(GEMMA, num_cells=16384).config.num_window_cells == (8192 if can_choose else 0)
    assert settled(GEMMA, num_cells=2048, context_size=2048).config.num_window_cells == (
        1536 if can_choose else 0
    )
    assert settled(GEMMA, num_cells=1536, context_size=1536).config.num_window_cells == 0
    assert settled(HEADER).config.num_window_cells == 0
    everything = settled(GEMMA, checkpoint_bytes=0)
    spared = everything.memory.cells - usual.memory.cells
    assert spared == (4096 * (22 * 1024 + 52) if can_choose else 0)
    assert usual.memory.checkpoints == (2048 * 22 * 1024 if can_choose else 0)


def test_what_the_operator_set_holds_where_it_makes_sense() -> None:
    assert settled(HYBRID, checkpoint_bytes=5).config.checkpoint_bytes == 5
    assert settled(HEADER, checkpoint_bytes=5).config.checkpoint_bytes == 0


def test_by_default_there_are_some_for_each_sequence_in_half_of_what_is_left() -> None:
    state = bytes_per_sequence(HYBRID)
    sizes = settled(HYBRID, max_sequences=4)
    assert sizes.config.checkpoint_bytes == sizes.memory.checkpoints == 16 * state
    assert sizes.memory.total == dataclasses.replace(sizes.memory, checkpoints=0).total + 16 * state
    taken = need(msgspec.structs.replace(sizes.config, checkpoint_bytes=0), HYBRID).total
    assert settled(HYBRID, free=taken + 6 * state, max_sequences=4).config.checkpoint_bytes == 3 * state
    assert settled(HYBRID, free=taken, max_sequences=4).config.checkpoint_bytes == saved_bytes(HYBRID, state)
    assert settled(HEADER).memory.checkpoints == 0


def test_what_is_settled_stays() -> None:
    config = settled(GEMMA, num_cells=32768, max_sequences=8, max_running=8).config
    # Half of what the windows spare, which is less than four for each sequence.
    assert config.checkpoint_bytes == (32768 - 9 * 512) // 2 * 22 * 1024
    assert with_checkpoints(config, GEMMA, 0) == with_checkpoints(config, GEMMA, PLENTY) == config


@pytest.mark.parametrize("architecture", ["mamba", "lfm2", "gemma3"])
def test_one_is_as_large_as_llama_cpps(tiny_models: TinyModels, opened: Opener, architecture: str) -> None:
    context = opened(
        architecture, n_ctx=2048, type_k=F16, type_v=F16, flash_attn_type=FLASH_ATTENTION, swa_full=False
    )
    context.compute(Run(0, 0, text(1, 100)))
    config = EngineConfig(model_path="", num_cells=2048, max_sequences=8, batch_size=256)
    header = read_header(tiny_models[architecture])
    known = checkpoint_size(config, header)
    # With positions and sequences of cells, and types of layers.
    assert known < len(context.save(0, PARTIAL)) <= saved_bytes(header, known) <= known + 1024


def test_layers_of_windows_have_as_many_cells_as_is_estimated(
    tiny_models: TinyModels, opened: Opener
) -> None:
    """By what llama.cpp can hold there: cells that two sequences share are not reused."""
    header = read_header(tiny_models["gemma3"])
    config = EngineConfig(model_path="", num_cells=2048, max_sequences=8, batch_size=256)
    count = window_cells(config, header)
    assert count == 512
    context = opened("gemma3", n_ctx=2048, swa_full=False)
    for start in (0, 256):
        context.compute(Run(0, start, text(1, 256)))
    context.copy(0, 1)
    assert context.positions(1) == (0, count - 1)
    assert context.decode(Run(2, 0, [1])) == 1


@pytest.mark.skipif(not library.can_choose_window_cells(), reason="another build of llama.cpp")
def test_they_have_as_many_as_they_are_told_to(opened: Opener) -> None:
    with library.window_cells(256):
        context = opened("gemma3", n_ctx=2048, swa_full=False)
    context.compute(Run(0, 0, text(1, 256)))
    context.copy(0, 1)
    assert context.decode(Run(2, 0, [1])) == 1
    # Nobody else is asked for so few.
    assert opened("gemma3", n_ctx=2048, swa_full=False).decode(Run(2, 0, [1] * 256)) == 0
