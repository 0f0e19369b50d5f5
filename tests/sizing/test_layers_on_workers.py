"""Where layers go, held against llama.cpp's own log, with two workers in the place of GPUs."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
from caravan.config.llama_config import WeightOptions
from caravan.llama import rpc
from caravan.llama.gguf_header import read_header
from caravan.sizing.gpu_placement import _gpus_of, gpu_shares, layer_bytes, place

from tests.engine.test_rpc import free_port, worker
from tests.sizing.layers_on_workers import Told
from tests.tiny_heads import write_wide_heads

pytestmark = pytest.mark.skipif(not rpc.is_built(), reason="this build of llama.cpp has no RPC")

NUM_LAYERS = 3
CASES = (
    WeightOptions(),
    WeightOptions(tensor_split=(1.0, 0.0)),
    WeightOptions(tensor_split=(0.0, 1.0)),
    WeightOptions(tensor_split=(3.0, 1.0)),
    WeightOptions(tensor_split=(1.0, 3.0)),
    WeightOptions(split_mode="none", main_gpu=1),
    WeightOptions(n_cpu_moe=1),
    WeightOptions(n_cpu_moe=9, tensor_split=(1.0, 1.0)),
    WeightOptions(override_tensor=((r"blk\.1\..*_exps", "CPU"), ("attn_q", "CPU"))),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("experts") / "experts.gguf"
    write_wide_heads(path, 32, num_experts=16)
    return path


@pytest.fixture(scope="module")
def told(model: Path) -> Iterator[Told]:
    """What llama.cpp says of every case, in a process of its own: it never forgets workers."""
    with ExitStack() as stack:
        ports = [free_port(), free_port()]
        for port in ports:
            stack.enter_context(worker(port))
        addresses = [f"127.0.0.1:{port}" for port in ports]
        done = subprocess.run(
            [sys.executable, "-m", "tests.sizing.layers_on_workers", str(model), *addresses],
            input=msgspec.json.encode(CASES),
            capture_output=True,
            check=True,
        )
        yield msgspec.json.decode(done.stdout, type=Told)


@pytest.mark.parametrize("index", range(len(CASES)), ids=lambda index: str(index))
def test_layers_go_where_they_are_counted(told: Told, model: Path, index: int) -> None:
    weights, loaded, header = CASES[index], told.loaded[index], read_header(model)
    shares = gpu_shares(told.free, weights)
    assert loaded.devices == [f"RPC{gpu}" for gpu in _gpus_of(NUM_LAYERS, shares)]
    layers = layer_bytes(header, 0, 0, weights)
    placement = place(header, layers, told.free, NUM_LAYERS, step=0, weights=weights)
    brought = max(size for name, size in header.tensors.items() if name.startswith("blk."))
    for gpu, taken in enumerate(placement.taken):
        weights_there = taken - brought * bool(taken and weights.overrides)
        assert loaded.num_bytes.get(told.ports[gpu], 0.0) == pytest.approx(weights_there, abs=12 << 10)
