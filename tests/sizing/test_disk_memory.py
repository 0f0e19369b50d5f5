"""What is on its way from and to the disk counts as memory, as far as there are cells for it."""

import pytest
from caravan.config.engine_config import DISK_AHEAD_BYTES, DISK_PENDING_BYTES, DiskCacheConfig, EngineConfig
from caravan.sizing.memory_estimate import MemoryEstimate, bytes_of_disk_buffers

DISK = DiskCacheConfig(folder="/somewhere", max_bytes=1 << 30)


@pytest.mark.parametrize(
    ("cells", "host_cache", "expected"),
    [
        (1 << 30, 0, DISK_AHEAD_BYTES + DISK_PENDING_BYTES),
        (1 << 20, 0, 2 << 20),
        (1 << 20, 1 << 20, 3 << 20),
        (1 << 20, 1 << 30, (1 << 20) + DISK_PENDING_BYTES),
        (0, 0, 0),
    ],
)
def test_buffers_are_counted(cells: int, host_cache: int, expected: int) -> None:
    taken = MemoryEstimate(weights=1, cells=cells, compute=1, host_cache=host_cache)
    found = bytes_of_disk_buffers(EngineConfig(model_path="model", disk_cache=DISK), taken)
    assert found == expected
    assert bytes_of_disk_buffers(EngineConfig(model_path="model"), taken) == 0
    counted = MemoryEstimate(weights=1, cells=cells, compute=1, host_cache=host_cache, disk_buffers=found)
    assert counted.total == taken.total + found
    assert counted.at_start == taken.at_start
