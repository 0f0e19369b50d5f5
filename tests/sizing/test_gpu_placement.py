"""Layers on GPUs: which ones, and what they take."""

import dataclasses
from typing import Any

import pytest
from caravan.config.llama_config import WeightOptions
from caravan.llama.gguf_header import GgufHeader, read_header
from caravan.sizing.gpu_placement import MARGIN, Placement, layer_bytes, most_layers, place

from tests.conftest import TinyModels

STEP = 1000
LARGEST = 60
NUM_CELLS = 100


@pytest.fixture(scope="module")
def header(tiny_models: TinyModels) -> GgufHeader:
    """Three layers of 100, 200 and 300 bytes, each in five weights, and an output of 50."""
    tensors = {f"blk.{index}.{name}.weight": 20 * (index + 1) for index in range(3) for name in "abcde"}
    return dataclasses.replace(
        read_header(tiny_models["llama"]),
        metadata={"general.architecture": "llama", "llama.block_count": 3},
        tensors={"token_embd.weight": 500, **tensors, "output_norm.weight": 10, "output.weight": 40},
    )


def fitted(header: GgufHeader, *free: int) -> Placement:
    return most_layers(header, layer_bytes(header, 0, 0), [MARGIN + room for room in free], step=STEP)


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "mamba", "lfm2"])
def test_layers_and_the_rest_are_the_whole(tiny_models: TinyModels, architecture: str) -> None:
    header = read_header(tiny_models[architecture])
    weights, some = layer_bytes(header, 0, 0), layer_bytes(header, NUM_CELLS, 2)
    assert len(weights) == header.count("block_count") + 1
    assert some[-1] == weights[-1]
    # Where the output is no tensor of its own, it is the embeddings once more.
    rest = 0 if "output.weight" not in header.tensors else header.tensors["token_embd.weight"]
    others = ("blk.", "output", "token_embd.weight")
    rest += sum(size for name, size in header.tensors.items() if not name.startswith(others))
    assert sum(weights) + rest == sum(header.tensors.values())


def test_the_texts_of_a_layer_lie_with_it(tiny_models: TinyModels) -> None:
    header = read_header(tiny_models["lfm2"])  # states, attention, states, attention
    grown = [
        more - few
        for few, more in zip(layer_bytes(header, 0, 1), layer_bytes(header, NUM_CELLS, 1), strict=True)
    ]
    assert grown[0] == grown[2] == grown[4] == 0
    assert grown[1] == grown[3] == NUM_CELLS * 2 * 2 * 16 * 2
    kept = [
        more - few for few, more in zip(layer_bytes(header, 9, 1), layer_bytes(header, 9, 2), strict=True)
    ]
    assert kept[0] == kept[2] > 0
    assert kept[1] == kept[3] == kept[4] == 0


def test_as_many_layers_as_there_is_room_for(header: GgufHeader) -> None:
    every = Placement(num_layers=4, num_all=4, taken=(650 + STEP,), num_moved=650)
    assert fitted(header, 650 + STEP) == every
    assert every.has_all
    # Where layers stay behind, there is to be room for the largest weight, too.
    three = Placement(num_layers=3, num_all=4, taken=(550 + LARGEST + STEP,), num_moved=550)
    assert fitted(header, 649 + STEP) == fitted(header, 550 + LARGEST + STEP) == three
    assert fitted(header, 549 + LARGEST + STEP).num_layers == 2
    assert fitted(header, 50 + LARGEST + STEP).num_layers == 1
    assert fitted(header, 49 + LARGEST + STEP) == Placement(num_all=4, taken=(0,))
    assert fitted(header) == Placement(num_all=4)
    assert most_layers(header, layer_bytes(header, 0, 0), [0], step=STEP).num_layers == 0


def test_what_is_asked_for_is_placed_whether_it_fits_or_not(header: GgufHeader) -> None:
    layers = layer_bytes(header, 0, 0)
    assert place(header, layers, [1], 99, step=STEP).taken == (650 + STEP,)
    assert place(header, layers, [1], 1, step=STEP).taken == (50 + LARGEST + STEP,)
    assert place(header, layers, [1], 0, step=STEP).taken == (0,)


def test_several_gpus_share_by_the_memory_that_is_free(header: GgufHeader) -> None:
    layers = layer_bytes(header, 0, 0)
    assert place(header, layers, [5, 5], 4, step=0).taken == (100 + 200, 300 + 50)
    assert place(header, layers, [1, 3], 4, step=0).taken == (100, 200 + 300 + 50)
    assert place(header, layers, [0, 1], 4, step=0).taken == (0, 650)
    assert place(header, layers, [1, 1, 1], 1, step=0).taken == (50 + LARGEST, 0, 0)
    # Each has to hold what falls to it.
    assert fitted(header, STEP + 300, STEP + 350).num_layers == 4
    assert fitted(header, STEP + 300, STEP + 349).num_layers < 4


def test_gpus_share_as_they_are_told_to(header: GgufHeader) -> None:
    layers = layer_bytes(header, 0, 0)

    def taken(*free: int, **options: Any) -> tuple[int, ...]:  # noqa: ANN401
        return place(header, layers, free, 4, step=0, weights=WeightOptions(**options)).taken

    assert taken(5, 5, tensor_split=(1.0, 3.0)) == (100, 200 + 300 + 50)
    assert taken(1, 9, tensor_split=(1.0,)) == (650, 0)
    assert taken(5, 5, 5, tensor_split=(0.0, 1.0, 1.0)) == (0, 100 + 200, 300 + 50)
    assert taken(5, 5, split_mode="none", main_gpu=1) == (0, 650)
    # Rows of every layer, by shares.
    assert taken(1, 3, split_mode="row") == (162, 487)
    assert taken(9, 1, split_mode="tensor", tensor_split=(1.0, 1.0)) == (325, 325)


def test_weights_that_stay_by_name_are_not_on_gpus(header: GgufHeader) -> None:
    kept = WeightOptions(override_tensor=((r"blk\.2\.[ab]", "CPU"), ("output_norm", "CPU"), ("c", "CUDA1")))
    assert layer_bytes(header, 0, 0, kept) == (100, 200, 180, 40)
    placed = place(header, layer_bytes(header, 0, 0, kept), [1], 4, step=0, weights=kept)
    # They are brought over to compute large batches with.
    assert (placed.taken, placed.num_moved) == ((520 + LARGEST,), 520)


def test_embeddings_that_are_the_output_too_are_copied(header: GgufHeader) -> None:
    tensors = {name: size for name, size in header.tensors.items() if name != "output.weight"}
    tied = dataclasses.replace(header, tensors=tensors)
    assert layer_bytes(tied, 0, 0)[-1] == 500 + 10
    placed = place(tied, layer_bytes(tied, 0, 0), [1], 4, step=0)
    assert (placed.taken, placed.num_moved) == ((600 + 510,), 600 + 10)
