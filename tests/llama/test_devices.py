"""What ggml tells of its devices."""

import pytest
from caravan.llama import devices, library
from caravan.llama.devices import Gpu
from caravan.runtime.machine import memory_limit


def test_the_processor_answers_with_the_memory_of_the_machine() -> None:
    processors = [device for device in devices._devices() if device.name == b"CPU"]
    assert len(processors) == 1
    assert processors[0].type == 0
    assert processors[0].description
    assert memory_limit() <= processors[0].memory_total
    assert 0 < processors[0].memory_free <= processors[0].memory_total


def test_there_are_gpus_where_llama_cpp_can_use_them() -> None:
    """A build with RPC alone has none."""
    assert bool(devices.gpus()) == library.has_gpu()
    kinds = {device.type for device in devices._devices()}
    assert library.has_gpu() == bool(kinds & {1, 2})


def device(name: str, kind: int, free: int, device_id: str | None = None) -> devices._Properties:
    identity = device_id.encode() if device_id else None
    return devices._Properties(name.encode(), b"", free, 9, kind, identity)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ([device("CPU", 0, 8)], []),
        ([device("CUDA0", 1, 4), device("CPU", 0, 8), device("BLAS", 3, 0)], [(4, False)]),
        (
            [device("CUDA0", 1, 4, "a"), device("Vulkan0", 1, 3, "a"), device("CUDA1", 1, 2, "b")],
            [(4, False), (2, False)],
        ),
        ([device("CUDA0", 1, 4), device("Vulkan1", 2, 8)], [(4, False)]),
        ([device("Vulkan0", 2, 8), device("CPU", 0, 8)], [(8, True)]),
        ([device("MTL0", 1, 8)], [(8, True)]),
    ],
)
def test_which_devices_count(given: list[devices._Properties], found: list[tuple[int, bool]]) -> None:
    assert devices._usable(given) == tuple(
        Gpu(free=free, total=9, is_shared=shared) for free, shared in found
    )


def test_workers_come_first_as_llama_cpp_has_them() -> None:
    found = devices._usable([device("CUDA0", 1, 4), device("CPU", 0, 8), device("RPC0", 1, 5)])
    assert found == (Gpu(free=5, total=9, is_remote=True), Gpu(free=4, total=9))
    found = devices._usable([device("Vulkan0", 2, 8), device("RPC0", 1, 5)])
    assert found == (Gpu(free=5, total=9, is_remote=True), Gpu(free=8, total=9, is_shared=True))
