"""The C and C++ compilers that CMake would take, and what they know about this processor."""

import dataclasses
import functools
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from deploy.build.errors import BuildError

# What makes a compiler target the processor it runs on: x86, then Arm and others.
_NATIVE_FLAGS: tuple[list[str], ...] = (["-march=native"], ["-mcpu=native"], [])


@dataclasses.dataclass(frozen=True)
class Compiler:
    """One compiler. `command` is its path and any arguments that came with CC or CXX."""

    language: str
    command: tuple[str, ...]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it without input; the caller looks at the exit status."""
        return subprocess.run(
            [*self.command, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60,
            check=False,
        )

    @functools.cached_property
    def identity(self) -> str:
        """Name, version and target."""
        return self.run("--version").stdout + self.run("-dumpmachine").stdout

    def macros(self, flags: Sequence[str]) -> str:
        """The macros it predefines for this processor under the user's `flags`, sorted."""
        for native in _NATIVE_FLAGS:
            done = self.run(*native, *flags, "-dM", "-E", "-x", self.language, os.devnull)
            if done.returncode == 0:
                return "\n".join(sorted(done.stdout.splitlines()))
        return ""

    def accepts(self, flags: Sequence[str]) -> bool:
        """Whether an empty file compiles without an error or a warning about the flags."""
        with tempfile.TemporaryDirectory() as folder:
            output = str(Path(folder, "empty.o"))
            done = self.run(*flags, "-Werror", "-x", self.language, "-c", os.devnull, "-o", output)
        return done.returncode == 0


@dataclasses.dataclass(frozen=True)
class Toolchain:
    """Both compilers and the flags that the user's environment adds."""

    c: Compiler
    cxx: Compiler
    c_flags: tuple[str, ...] = ()
    cxx_flags: tuple[str, ...] = ()

    def identity(self) -> dict[str, str]:
        """Whatever of compilers, processor and system changes the machine code or where it can run."""
        return {
            "c": self.c.identity,
            "cxx": self.cxx.identity,
            "macros": self.cxx.macros(self.cxx_flags),
            "cpu": cpu_features(),
            "system": " ".join([platform.system(), platform.machine(), *platform.libc_ver()]),
        }


def find(c_flags: Sequence[str] = (), cxx_flags: Sequence[str] = ()) -> Toolchain:
    """Find the compilers by CMake's rule: CC and CXX, then the usual names. Raises BuildError."""
    c = _find("c", "CC", ("cc", "gcc", "clang"))
    cxx = _find("c++", "CXX", ("c++", "g++", "clang++"))
    return Toolchain(c, cxx, tuple(c_flags), tuple(cxx_flags))


def _find(language: str, variable: str, names: Sequence[str]) -> Compiler:
    wanted = shlex.split(os.environ.get(variable, ""))
    for name, *arguments in [wanted] if wanted else [[name] for name in names]:
        path = shutil.which(name)
        if path:
            return Compiler(language, (path, *arguments))
    what = f"{variable}={wanted[0]}" if wanted else " or ".join(names)
    raise BuildError(
        f"llama.cpp is compiled here and needs a {language.upper()} compiler; found no {what}.\n"
        "  Debian, Ubuntu:  apt install build-essential\n"
        "  macOS:           xcode-select --install"
    )


def cpu_features() -> str:
    """The processor's feature flags as Linux lists them, sorted; elsewhere the compiler's macros must do."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return " ".join(sorted(value.split()))
    return platform.processor()
