"""Whether AMX may be compiled in: found out by running it, since neither CPU nor compiler name tells.

Where the processor has it, AMX makes prompts about 2.5 times faster; miscompiled, it kills the process at the
first of them. So a small program repeats what llama.cpp does and its result decides.
"""

import enum
import subprocess
import tempfile
from pathlib import Path

from deploy.build.compiler import Compiler, Toolchain

REPAIR_HEADER = Path(__file__).with_name("amx_tile_config.h")
PROBE_SOURCE = Path(__file__).with_name("amx_probe.cpp")
OFF_FLAGS = ("-mno-amx-tile", "-mno-amx-int8", "-mno-amx-bf16")

# -O3 is what a release build of llama.cpp uses; the others show a fault that one level happens to hide.
_LEVELS = ("-O3", "-O2", "-O1")
_EQUAL = 0


class Amx(enum.Enum):
    """What to do about AMX. UNUSED needs no flags: the processor or the compiler has none."""

    UNUSED = "unused"
    WORKS = "works"
    REPAIRED = "repaired"
    OFF = "off"


def probe(toolchain: Toolchain) -> Amx:
    """Compile and run the probe, plain and then repaired. In doubt the answer is OFF."""
    if "__AMX_TILE__" not in toolchain.cxx.macros(toolchain.cxx_flags):
        return Amx.UNUSED
    if round_trips(toolchain.cxx, toolchain.cxx_flags):
        return Amx.WORKS
    if round_trips(toolchain.cxx, (*toolchain.cxx_flags, "-include", str(REPAIR_HEADER))):
        return Amx.REPAIRED
    return Amx.OFF


def round_trips(compiler: Compiler, flags: tuple[str, ...]) -> bool:
    """Whether a tile configuration reads back as it was written, at every level of optimisation."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "amx_probe")
        return all(_run_probe(compiler, (*flags, level), program) == _EQUAL for level in _LEVELS)


def _run_probe(compiler: Compiler, flags: tuple[str, ...], program: Path) -> int | None:
    """The probe's exit status, negative for a signal, or None if it could not be made or run."""
    try:
        made = compiler.run("-march=native", "-std=c++17", *flags, str(PROBE_SOURCE), "-o", str(program))
        if made.returncode != 0:
            return None
        return subprocess.run([program], stdin=subprocess.DEVNULL, timeout=30, check=False).returncode
    except (OSError, subprocess.TimeoutExpired):
        return None
