"""How much memory there is to plan with."""

import os
from pathlib import Path

# Where Linux says what a container may use: control groups, version 2 and 1.
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def machine_memory() -> int:
    """Bytes of this machine, or of the container where that has less."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    texts = [path.read_text().strip() for path in map(Path, _CGROUP_LIMITS) if path.is_file()]
    return min(found + [int(text) for text in texts if text.isdecimal()])
