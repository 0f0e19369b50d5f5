"""Sizes by default, on machines with more and with less memory and cores."""

import dataclasses
from pathlib import Path

import msgspec
import pytest
from caravan.config import engine_config, model_settings
from caravan.config.engine_config import EngineConfig
from caravan.llama import library
from caravan.llama.devices import Gpu
from caravan.llama.gguf_header import GgufHeader, HeaderError
from caravan.sizing.gpu_placement import MARGIN
from caravan.sizing.kv_bytes import bytes_per_cell, bytes_per_sequence
from caravan.sizing.sizes import Need, Resources, Sizes, need, settle, sizes_of

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
# Three layers of four keep a state of 2 MiB a sequence, as in Qwen3-Next.
HYBRID = dataclasses.replace(
    HEADER,
    metadata={
        "general.architecture": "qwen3next",
        "qwen3next.block_count": 48,
        "qwen3next.embedding_length": 2048,
        "qwen3next.attention.head_count": 16,
        "qwen3next.attention.head_count_kv": 2,
        "qwen3next.attention.key_length": 256,
        "qwen3next.attention.value_length": 256,
        "qwen3next.context_length": 131072,
        "qwen3next.ssm.conv_kernel": 4,
        "qwen3next.ssm.inner_size": 4096,
        "qwen3next.ssm.state_size": 128,
        "qwen3next.ssm.group_count": 16,
    },
)
ENCODER = dataclasses.replace(
    HEADER,
    metadata={
        "general.architecture": "bert",
        "bert.block_count": 12,
        "bert.embedding_length": 768,
        "bert.feed_forward_length": 3072,
        "bert.attention.head_count": 12,
        "bert.attention.causal": False,
        "bert.context_length": 512,
    },
)
PLENTY = 64 << 30
A_LAYER, OUTPUT = 140 << 20, 300 << 20
LAYERED = dataclasses.replace(
    HEADER,
    tensors={
        "token_embd.weight": 280 << 20,
        **{f"blk.{index}.weights": A_LAYER for index in range(32)},
        "output.weight": OUTPUT,
    },
)


def settled(
    header: GgufHeader = HEADER, /, *gpus: Gpu, free: int = PLENTY, cores: int = 2, **options: int
) -> Sizes:
    config = msgspec.structs.replace(EngineConfig(model_path=""), **options)
    return settle(config, header, Resources(memory=free, cores=cores, gpus=gpus))


def at_start(num_cells: int) -> int:
    return settled(num_cells=num_cells, context_size=num_cells).memory.at_start


@pytest.mark.parametrize(
    ("cores", "running"), [(1, 16), (2, 32), (4, 64), (64, 64)], ids=["one", "two", "four", "many"]
)
def test_more_cores_run_more_sequences(cores: int, running: int) -> None:
    sizes = settled(cores=cores)
    config = sizes.config
    assert (config.num_threads, config.max_running, config.max_sequences) == (cores, running, 2 * running)
    assert sizes.reason == ("for one core" if cores == 1 else f"for {cores} cores")
    assert settled(cores=8, num_threads=cores).config.max_running == running


def test_what_the_operator_set_of_sequences_stays_and_the_rest_follows() -> None:
    def both(*, free: int = PLENTY, **options: int) -> tuple[int, int, str]:
        sizes = settled(free=free, cores=2, **options)
        return sizes.config.max_running, sizes.config.max_sequences, sizes.reason

    assert both(max_running=5) == (5, 10, "as set")
    assert both(max_running=200) == (200, 256, "as set")
    assert both(max_running=200, free=0) == (200, 256, "as set")
    assert both(max_sequences=7) == (7, 7, "by max_sequences")
    assert both(max_sequences=100) == (32, 100, "for 2 cores")
    assert both(max_sequences=7, max_running=9) == (7, 7, "by max_sequences")
    assert both(max_running=40, batch_size=20)[0] == 20


def test_states_of_recurrent_layers_take_a_quarter_of_what_the_weights_leave() -> None:
    state = bytes_per_sequence(HYBRID)
    assert state == 36 * 4 * (128 * 4096 + 3 * (4096 + 2 * 16 * 128))
    free = HYBRID.file_size + 4 * 17 * state
    sizes = settled(HYBRID, free=free)
    assert (sizes.config.max_running, sizes.config.max_sequences) == (8, 8)
    assert sizes.reason == f"in {free >> 20} MiB of memory"
    assert settled(HYBRID, free=0).config.max_sequences == 4
    assert settled(HYBRID).config.max_sequences == 64


def test_with_plenty_of_memory_the_defaults_stay() -> None:
    sizes = settled()
    assert (sizes.config.context_size, sizes.config.num_cells) == (8192, 8192)
    assert sizes.shortages == ()


def test_with_less_memory_there_are_fewer_cells() -> None:
    sizes = settled(free=at_start(2048))
    assert (sizes.config.context_size, sizes.config.num_cells) == (2048, 2048)
    assert "2048 tokens in memory instead of 8192" in sizes.shortages[0]
    assert sizes.memory.at_start <= at_start(2048)


def test_a_budget_is_as_good_as_a_smaller_machine() -> None:
    free = at_start(2048)
    smaller, bounded = settled(free=free), settled(memory_budget=free)
    assert msgspec.structs.replace(bounded.config, memory_budget=0) == smaller.config
    assert settled(free=free, memory_budget=PLENTY).config.num_cells == 2048


def test_what_the_operator_set_stays() -> None:
    sized = settled(free=0, context_size=4096).config
    assert (sized.context_size, sized.num_cells) == (4096, 4096)
    sized = settled(free=0, num_cells=9000).config
    assert (sized.num_cells, sized.num_host_cache_tokens) == (9000, 0)
    sized = settled(free=0, num_host_cache_tokens=7).config
    assert (sized.num_cells, sized.num_host_cache_tokens) == (512, 7)


def test_no_size_that_was_set_becomes_another_without_a_word() -> None:
    sized = settled(num_cells=100).config
    assert (sized.num_cells, sized.context_size) == (100, 100)
    sizes = settled(batch_size=8)
    assert (sizes.config.max_running, sizes.reason) == (8, "by batch_size")
    assert settled(num_gpu_layers=5).shortages == ("no layers on GPUs, as llama.cpp finds none",)


def test_sizes_that_are_settled_stay() -> None:
    """An engine that starts anew has the sizes that it had, even where less memory is free then."""
    config = settled(free=at_start(4096)).config
    again = settle(config, HEADER, Resources(memory=0, cores=1))
    assert again.config == config
    assert again.memory == need(config, HEADER)


def test_the_host_cache_leaves_half_of_what_is_left_to_others() -> None:
    a_cell = bytes_per_cell(HEADER)
    taken = settled().memory.at_start + settled().memory.vectors
    assert settled(free=taken + 2 * 8192 * a_cell).shortages == ()
    sizes = settled(free=taken + 2 * 1000 * a_cell)
    assert sizes.config.num_host_cache_tokens == 1000
    assert sizes.shortages == ("1000 tokens of idle texts kept aside instead of 8192",)
    assert settled(HYBRID).config.num_host_cache_tokens == 8192
    windows = {**HEADER.metadata, "llama.attention.sliding_window": 512}
    assert settled(dataclasses.replace(HEADER, metadata=windows)).config.num_host_cache_tokens == 0


def test_an_encoder_reads_no_more_than_it_was_trained_on() -> None:
    sizes = settled(ENCODER, context_size=4096)
    assert sizes.config.context_size == 512
    assert (sizes.memory.cells, sizes.memory.host_cache, sizes.memory.vectors) == (0, 0, 0)


def gpu(free: int, *, is_shared: bool = False) -> Gpu:
    return Gpu(free=free, total=free, is_shared=is_shared)


def whole(num_cells: int, header: GgufHeader = LAYERED) -> int:
    """Free memory of a GPU that just holds everything with so many cells."""
    sizes = settled(header, gpu(PLENTY), num_cells=num_cells, context_size=num_cells)
    assert sizes.placement.has_all
    return sizes.placement.num_bytes + MARGIN


def test_a_gpu_that_holds_everything_gets_everything() -> None:
    sizes = settled(LAYERED, gpu(whole(8192)))
    assert sizes.placement.has_all
    assert (sizes.config.num_gpu_layers, sizes.config.num_cells, sizes.shortages) == (33, 8192, ())
    assert (sizes.config.max_running, sizes.reason) == (64, "for a GPU")
    # Idle texts are not kept aside: they would have to be brought back cell by cell.
    assert sizes.config.num_host_cache_tokens == 0
    moved = 32 * A_LAYER + 8192 * bytes_per_cell(LAYERED) + OUTPUT
    assert sizes.placement.num_moved == moved
    assert sizes.at_start == sizes.memory.at_start - moved
    assert sizes.at_start < 2 << 30 < sizes.placement.num_bytes


def test_cells_are_counted_where_they_lie() -> None:
    """A machine with little memory of its own, and a GPU with plenty."""
    sizes = settled(LAYERED, gpu(24 << 30), free=2 << 30)
    assert (sizes.config.num_cells, sizes.placement.has_all) == (8192, True)
    assert settled(LAYERED, free=2 << 30).config.num_cells == 512


def test_half_the_cells_are_better_than_layers_left_behind() -> None:
    sizes = settled(LAYERED, gpu(whole(8192) - 1))
    assert (sizes.config.num_cells, sizes.placement.has_all) == (4096, True)
    assert "4096 tokens in memory instead of 8192" in sizes.shortages[0]
    set_by_hand = settled(LAYERED, gpu(whole(8192) - 1), num_cells=8192)
    assert set_by_hand.config.num_cells == 8192
    assert 0 < set_by_hand.config.num_gpu_layers < 33


def test_a_smaller_gpu_gets_what_it_can_hold() -> None:
    room = whole(4096) - 1
    sizes = settled(LAYERED, gpu(room))
    assert sizes.config.num_cells == 8192
    assert 0 < sizes.config.num_gpu_layers < 33
    assert sizes.placement.num_bytes + MARGIN <= room
    assert sizes.shortages == (
        f"{sizes.config.num_gpu_layers} of 33 layers on GPUs, as {room >> 20} MiB are free there",
    )
    tiny = settled(LAYERED, gpu(MARGIN))
    assert (tiny.config.num_gpu_layers, tiny.reason) == (0, "for 2 cores")
    # What the GPU does not hold has to find room in the machine.
    assert settled(LAYERED, gpu(room), free=sizes.at_start).config.num_cells == 8192
    assert settled(LAYERED, gpu(room), free=sizes.at_start - 1).config.num_cells < 8192


def test_layers_that_are_asked_for_stay() -> None:
    for layers in (0, 5, 99):
        sizes = settled(LAYERED, gpu(4 << 30), num_gpu_layers=layers)
        assert sizes.config.num_gpu_layers == layers
        assert sizes.placement.num_layers == min(layers, 33)
    assert settled(LAYERED, num_gpu_layers=7).config.num_gpu_layers == 7
    assert settled(LAYERED).config.num_gpu_layers == 0
    assert settled(LAYERED, gpu(4 << 30), num_gpu_layers=0).reason == "for 2 cores"


def test_a_gpu_with_the_machines_own_memory_adds_none() -> None:
    apart = settled(LAYERED, gpu(24 << 30), free=24 << 30)
    shared = settled(LAYERED, gpu(24 << 30, is_shared=True), free=24 << 30)
    assert shared.placement == apart.placement
    assert shared.at_start == apart.at_start + apart.placement.num_bytes
    assert (shared.need.on_gpus, apart.need.on_gpus) == (0, apart.placement.num_bytes)
    assert shared.need.total == apart.need.total
    little = settled(LAYERED, gpu(24 << 30, is_shared=True), free=shared.at_start - 1)
    assert little.config.num_cells < 8192


def test_a_budget_holds_for_gpus_too() -> None:
    least = settled(LAYERED, gpu(PLENTY), num_cells=2048, context_size=2048)
    everywhere = least.at_start + least.placement.num_bytes
    bounded = settled(LAYERED, gpu(PLENTY), memory_budget=everywhere)
    assert (bounded.config.num_cells, bounded.placement.has_all) == (2048, True)
    assert bounded.need == Need(everywhere + bounded.memory.vectors, bounded.placement.num_bytes)


def test_states_lie_on_the_gpu_that_holds_the_weights() -> None:
    state = bytes_per_sequence(HYBRID)
    free = MARGIN + HYBRID.file_size + 4 * 17 * state
    assert settled(HYBRID, gpu(free)).config.max_sequences <= 16
    assert settled(HYBRID, gpu(PLENTY)).config.max_sequences == 128


def test_a_file_is_looked_at(tiny_models: TinyModels, tmp_path: Path) -> None:
    given = Resources(memory=0, cores=1)
    sizes = sizes_of(EngineConfig(model_path=str(tiny_models["qwen2"])), given)
    assert (sizes.config.context_size, sizes.config.num_cells) == (512, 512)
    with pytest.raises(HeaderError):
        sizes_of(EngineConfig(model_path=str(tmp_path / "none.gguf")), given)


def test_the_most_sequences_are_llama_cpps() -> None:
    assert engine_config.MAX_SEQUENCES == model_settings.MAX_SEQUENCES == library.max_sequences()
