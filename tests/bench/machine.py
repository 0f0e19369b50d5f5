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


def load() -> float:
    """How many processes wanted to run lately, a benchmark's own included."""
    return os.getloadavg()[0]


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
