"""How much memory is on its way between the cells and the disk, at most."""

from caravan.config.engine_config import DISK_AHEAD_BYTES, DISK_PENDING_BYTES, EngineConfig
from caravan.sizing.memory_estimate import MemoryEstimate


def bytes_of_disk_buffers(config: EngineConfig, taken: MemoryEstimate) -> int:
    """Tell what is read ahead, and what waits to be written, beside what is `taken`."""
    if config.disk_cache is None:
        return 0
    # No more is read than cells are to be filled with, and what is written is a copy of these.
    pending = min(taken.cells + taken.host_cache, DISK_PENDING_BYTES)
    return min(taken.cells, DISK_AHEAD_BYTES) + pending
