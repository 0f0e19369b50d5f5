"""The compilers that CMake would take, and what they know about this machine."""

import dataclasses
import functools
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

# What makes a compiler target the processor it runs on: x86, then Arm and others.
_NATIVE_FLAGS: tuple[list[str], ...] = (["-march=native"], ["-mcpu=native"], [])
_USUAL_PLACE_OF_CUDA = "/usr/local/cuda/bin"


class BuildError(Exception):
    """How a build fails: what is missing or wrong and, where known, the command that helps."""


@dataclasses.dataclass(frozen=True)
class Compiler:
    """One compiler. `command` is its path and any arguments that came with CC or CXX."""

    language: str
    command: tuple[str, ...]

    @functools.cached_property
    def identity(self) -> str:
        """Name, version and target."""
        return _output([*self.command, "--version"]) + _output([*self.command, "-dumpmachine"])

    def macros(self, flags: Sequence[str]) -> str:
        """The macros it predefines for this processor under the user's `flags`, sorted."""
        for native in _NATIVE_FLAGS:
            command = [*self.command, *native, *flags, "-dM", "-E", "-x", self.language, os.devnull]
            if found := _output(command):
                return "\n".join(sorted(found.splitlines()))
        return ""


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

    @property
    def has_amx(self) -> bool:
        """Whether it compiles for this processor's AMX, unless told otherwise."""
        return "__AMX_TILE__" in self.cxx.macros(self.cxx_flags)

    def environment(self) -> dict[str, str]:
        """The environment in which CMake takes these compilers, and ninja from our own tools."""
        environment = dict(os.environ)
        # The flags are in CMake's arguments already; from here they would go in a second time.
        for name in ("CFLAGS", "CXXFLAGS"):
            environment.pop(name, None)
        environment["CC"] = shlex.join(self.c.command)
        environment["CXX"] = shlex.join(self.cxx.command)
        tools = str(Path(sys.executable).parent)
        environment["PATH"] = os.pathsep.join([tools, environment.get("PATH", os.defpath)])
        return environment


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


def find_cuda() -> str:
    """Path of nvcc by CMake's rule, CUDACXX and then PATH, and where installers put it. Raises BuildError."""
    wanted = os.environ.get("CUDACXX") or "nvcc"
    path = shutil.which(wanted) or shutil.which("nvcc", path=_USUAL_PLACE_OF_CUDA)
    if path is None:
        raise BuildError(
            f"BACKEND=cuda needs the CUDA toolkit; found no {wanted} on PATH or in {_USUAL_PLACE_OF_CUDA}"
        )
    return path


def cuda_identity(compiler: str) -> str:
    """The CUDA compiler's version and the compute capabilities present, for which alone it compiles."""
    devices = _output(["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"])
    return _output([compiler, "--version"]) + "".join(sorted(set(devices.splitlines())))


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


def _output(command: Sequence[str]) -> str:
    """What a program prints, run without input; nothing where it is missing or fails."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60,
            check=False,
        )
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""
