"""A line about the machine, for readers of the numbers."""

import os
import platform
import re
from pathlib import Path


def describe() -> str:
    """Processor, how many of them, memory and system."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [
        _processor(),
        f"{processors} processors",
        _memory(),
        _system(),
        f"Python {platform.python_version()}",
    ]
    return ", ".join(part for part in parts if part)


def busy_seconds() -> float:
    """Processor time that all processes together have taken since the start, and hosts have taken away."""
    line = _first(r"cpu +(.+)", _read("/proc/stat")).split()
    if not line:
        return 0.0
    user, nice, system, _idle, _waiting, interrupts, soft_interrupts, stolen = map(int, line[:8])
    ticks = user + nice + system + interrupts + soft_interrupts + stolen
    return ticks / os.sysconf("SC_CLK_TCK")


def _processor() -> str:
    info = _read("/proc/cpuinfo")
    name = _first(r"model name\s*:\s*(.+)", info) or platform.processor() or platform.machine()
    flags = _first(r"(?:flags|Features)\s*:\s*(.+)", info).split()
    kinds = {"AVX2": "avx2", "AVX-512": "avx512f", "AMX": "amx_int8"}
    known = [kind for kind, flag in kinds.items() if flag in flags]
    return f"{name} ({', '.join(known)})" if known else name


def _memory() -> str:
    total = _first(r"MemTotal:\s*(\d+) kB", _read("/proc/meminfo"))
    return f"{int(total) / 2**20:.0f} GiB" if total else ""


def _system() -> str:
    return _first(r'PRETTY_NAME="?([^"\n]+)', _read("/etc/os-release")) or platform.platform(terse=True)


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found[1].strip() if found else ""
