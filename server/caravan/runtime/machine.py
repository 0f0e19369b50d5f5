"""What this process may use of the machine: cores and memory, inside a container too.

Linux says it in /proc and in control groups, version 2 (`cpu.max`, `memory.max`) or 1 (`cpu.cfs_quota_us`,
`memory.limit_in_bytes`). A limit holds for all groups below the one that it is set on.
"""

import contextlib
import mmap
import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from caravan.errors import MemoryShortError

ROOT = Path("/")
# Version 1 writes "no limit" as the largest multiple of a page that 63 bits hold.
_UNLIMITED = 1 << 60
_LEAST_ASKED = 8 << 20
# Thousandths of all memory, as the kernel counts for its choice; above the second it takes none.
_WILLING = 500
_MOST_WILLING = 1000
# Others may have given memory back by then.
_RETRY_SECONDS = 5


def usable_cores(root: Path = ROOT) -> int:
    """Count the cores that this process may keep busy: those it may run on, within its quota of time."""
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity else os.cpu_count() or 1
    # Rounded down: threads that wait for one that is throttled are slower than one thread fewer.
    return max(1, min([count, *(int(quota) for quota in _quotas(root))]))


def memory_limit(root: Path = ROOT) -> int:
    """Return the bytes of this machine, or of the container where that has less."""
    return min([_physical_memory(root), *(limit for limit, _ in _memory_groups(root))])


def available_memory(root: Path = ROOT) -> int:
    """Return the bytes that can still be taken before something is pushed out. Caches of files are free."""
    free = _meminfo(root).get("MemAvailable", _physical_memory(root))
    left = [limit - used for limit, used in _memory_groups(root)]
    return max(0, min([free, *left, *_left_to_process(root)]))


def has_memory(num_bytes: int, root: Path = ROOT) -> bool:
    """Say whether so much can be taken now.

    To be asked before C++ or Rust takes it, which end the process where there is none.
    """
    try:
        # Costs a few microseconds, and finds every limit on what may be asked for.
        mmap.mmap(-1, max(num_bytes, _LEAST_ASKED)).close()
    except (OSError, MemoryError, OverflowError):
        return False
    # What may be asked for may still not be there; a little always is.
    return num_bytes <= _LEAST_ASKED or num_bytes <= available_memory(root)


def require_memory(num_bytes: int, what: str) -> None:
    """Raise MemoryShortError where so much cannot be taken; `what` would be read then, such as "the body"."""
    if not has_memory(num_bytes):
        raise MemoryShortError(
            f"The server has too little memory at the moment to read {what}.", retry_after=_RETRY_SECONDS
        )


def _left_to_process(root: Path) -> Iterator[int]:
    """What this process's own limit (`ulimit -v`) leaves, if it has one."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    pages = _read(root / "proc/self/statm").partition(" ")[0]
    if limit != resource.RLIM_INFINITY and pages.isdecimal():
        yield limit - int(pages) * resource.getpagesize()


def raise_file_limit(wanted: int) -> int:
    """Raise this process's limit of open files to `wanted`, as far as it may be; returns what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= limit:
        return wanted if soft == resource.RLIM_INFINITY else soft
    # macOS has a limit of its own below the one it tells.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def prefer_as_victim(root: Path = ROOT) -> None:
    """Have a system that is short of memory end this process before the one that started it.

    What is raised here counts as if this process took half of all memory besides what it has.
    """
    path = root / "proc/self/oom_score_adj"
    # Not there but on Linux; to raise it needs no right, and without it only chance is different.
    with contextlib.suppress(OSError, ValueError):
        path.write_text(str(min(_MOST_WILLING, int(path.read_text()) + _WILLING)))


@dataclass(frozen=True)
class ProcessSample:
    """A process at a moment: the letters of its threads' states as /proc has them, the seconds of processors
    that it has used, and how often it had to wait for a page from a disk.
    """

    states: frozenset[str]
    cpu_seconds: float
    num_faults: int


def process_sample(pid: int, root: Path = ROOT) -> ProcessSample | None:
    """Read what the system tells of a process; None where it tells nothing, or there is none."""
    folder = root / "proc" / str(pid)
    whole = _status_fields(folder / "stat")
    if whole is None:
        return None
    states = set(whole[0])
    with contextlib.suppress(OSError):
        for task in os.listdir(folder / "task"):
            fields = _status_fields(folder / "task" / task / "stat")
            states.update(() if fields is None else fields[0])
    ticks = os.sysconf("SC_CLK_TCK")
    return ProcessSample(frozenset(states), (int(whole[11]) + int(whole[12])) / ticks, int(whole[9]))


def _status_fields(path: Path) -> list[str] | None:
    """The fields of a `stat` behind the name, which may hold anything: the state is the first."""
    fields = _read(path).rpartition(")")[2].split()
    return fields if len(fields) > 12 else None


def _quotas(root: Path) -> Iterator[float]:
    """Cores' worth of time that each control group around us allows."""
    for group in _groups(root, "cpu"):
        quota, _, period = _read(group / "cpu.max").partition(" ")
        if not quota:
            quota, period = _read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us")
        if quota.isdecimal() and period.isdecimal() and int(period):
            yield int(quota) / int(period)


def _memory_groups(root: Path) -> Iterator[tuple[int, int]]:
    """Limit and use in bytes of each control group around us that has a limit."""
    for group in _groups(root, "memory"):
        limit = _read(group / "memory.max") or _read(group / "memory.limit_in_bytes")
        used = _read(group / "memory.current") or _read(group / "memory.usage_in_bytes")
        if limit.isdecimal() and int(limit) < _UNLIMITED:
            statistics = _table(group / "memory.stat")
            cache = statistics.get("total_inactive_file", statistics.get("inactive_file", 0))
            yield int(limit), max(0, int(used or 0) - cache)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The directories of our control group and of those around it."""
    mounts = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        home = mounts / controllers if controllers else mounts
        if not home.is_dir():
            home = mounts / controller
        # A container's own view may begin at its group, while the path still counts from the host's.
        group = home / path.lstrip("/")
        while group != home:
            yield group
            group = group.parent
        yield home


def _physical_memory(root: Path) -> int:
    return _meminfo(root).get("MemTotal") or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _meminfo(root: Path) -> dict[str, int]:
    return {name.rstrip(":"): 1024 * count for name, count in _table(root / "proc/meminfo").items()}


def _table(path: Path) -> dict[str, int]:
    """A file of lines with a name and a number."""
    pairs = [line.split() for line in _read(path).splitlines()]
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) > 1 and pair[1].isdecimal()}


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
