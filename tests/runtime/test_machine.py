"""Cores and memory, read from trees like those of machines and containers."""

import os
from pathlib import Path

import pytest
from caravan.runtime.machine import available_memory, memory_limit, prefer_as_victim, usable_cores

GIB = 1 << 30


def tree(root: Path, **files: str) -> Path:
    """Files of a machine with 16 GiB, 8 GiB of them free; names have `__` for `/` and `_dot_` for `.`."""
    files.setdefault("proc__meminfo", f"MemTotal: {16 << 20} kB\nMemAvailable: {8 << 20} kB\n")
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def test_a_machine_without_control_groups(tmp_path: Path) -> None:
    root = tree(tmp_path)
    assert (usable_cores(root), memory_limit(root), available_memory(root)) == (8, 16 * GIB, 8 * GIB)


@pytest.mark.parametrize(
    ("quota", "cores"), [("150000 100000", 1), ("50000 100000", 1), ("400000 100000", 4)]
)
def test_a_container_of_version_2(tmp_path: Path, quota: str, cores: int) -> None:
    root = tree(
        tmp_path,
        proc__self__cgroup="0::/\n",
        sys__fs__cgroup__cpu_dot_max=quota,
        sys__fs__cgroup__memory_dot_max=str(4 * GIB),
        sys__fs__cgroup__memory_dot_current=str(3 * GIB),
        sys__fs__cgroup__memory_dot_stat=f"anon 5\ninactive_file {2 * GIB}\n",
    )
    assert (usable_cores(root), memory_limit(root), available_memory(root)) == (cores, 4 * GIB, 3 * GIB)


def test_limits_of_the_groups_around_ours_hold(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        proc__self__cgroup="0::/system.slice/caravan.service\n",
        sys__fs__cgroup__system_dot_slice__cpu_dot_max="300000 100000",
        sys__fs__cgroup__system_dot_slice__memory_dot_max=str(2 * GIB),
        sys__fs__cgroup__system_dot_slice__caravan_dot_service__cpu_dot_max="max 100000",
        sys__fs__cgroup__system_dot_slice__caravan_dot_service__memory_dot_max="max",
    )
    assert (usable_cores(root), memory_limit(root), available_memory(root)) == (3, 2 * GIB, 2 * GIB)


def test_a_container_of_version_1(tmp_path: Path) -> None:
    """Its groups' paths are the host's, while it sees its own group mounted at the top."""
    root = tree(
        tmp_path,
        proc__self__cgroup="5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n1:name=systemd:/docker/abc\n",
    )
    for folder, files in {
        "cpu,cpuacct": {"cpu.cfs_quota_us": "200000", "cpu.cfs_period_us": "100000"},
        "memory": {"memory.limit_in_bytes": str(GIB), "memory.usage_in_bytes": str(GIB // 4)},
    }.items():
        (root / "sys/fs/cgroup" / folder).mkdir(parents=True)
        for name, text in files.items():
            (root / "sys/fs/cgroup" / folder / name).write_text(text + "\n")
    assert (usable_cores(root), memory_limit(root), available_memory(root)) == (2, GIB, GIB * 3 // 4)


def test_no_limits_of_version_1(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        proc__self__cgroup="5:cpu:/\n4:memory:/\n",
        sys__fs__cgroup__cpu__cpu_dot_cfs_quota_us="-1",
        sys__fs__cgroup__cpu__cpu_dot_cfs_period_us="100000",
        sys__fs__cgroup__memory__memory_dot_limit_in_bytes=str((1 << 63) - 4096),
    )
    assert (usable_cores(root), memory_limit(root), available_memory(root)) == (8, 16 * GIB, 8 * GIB)


def test_this_machine_says_something_sensible() -> None:
    assert usable_cores() >= 1
    assert 0 <= available_memory() <= memory_limit()


@pytest.mark.parametrize(
    ("before", "after"), [("0", "500"), ("-1000", "-500"), ("700", "1000"), ("1000", "1000")]
)
def test_a_process_that_is_to_go_first_says_so(tmp_path: Path, before: str, after: str) -> None:
    root = tree(tmp_path, proc__self__oom_score_adj=f"{before}\n")
    prefer_as_victim(root)
    assert (root / "proc/self/oom_score_adj").read_text() == after


def test_where_no_process_is_chosen_nothing_is_said(tmp_path: Path) -> None:
    prefer_as_victim(tmp_path)
    assert list(tmp_path.iterdir()) == []
