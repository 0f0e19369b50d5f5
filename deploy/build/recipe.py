"""What is built and with which options, and the digest under which the result is kept.

The digest covers everything the machine code depends on, so the wheel of another compiler, processor, backend
or recipe has another name and cannot be mistaken for this one.
"""

import dataclasses
import enum
import hashlib
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.build import source
from deploy.build.toolchain import Toolchain

_ONLY_LIBRARY = Path(__file__).with_name("only_library.cmake")

# libmtmd reads images and sounds; of videos, for which it would start ffmpeg, it knows nothing. Left out are
# llama.cpp's own tools.
_MEDIA = ("-DLLAVA_BUILD=ON", "-DMTMD_VIDEO=OFF")
LIBRARY_ONLY = (*_MEDIA, f"-DCMAKE_PROJECT_llama.cpp_INCLUDE={_ONLY_LIBRARY}")
WITHOUT_AMX = ("-mno-amx-tile", "-mno-amx-int8", "-mno-amx-bf16")

# Layers on other machines; one source file more.
_RPC = "-DGGML_RPC=ON"
_THIS_PROCESSOR = ("-DGGML_NATIVE=ON",)
# One module for each generation of processors, beside the library, which takes the best that runs.
_ANY_PROCESSOR = (
    "-DGGML_NATIVE=OFF",
    "-DGGML_BACKEND_DL=ON",
    "-DGGML_CPU_ALL_VARIANTS=ON",
    # The type keeps CMake from making an absolute path of it.
    "-DCMAKE_INSTALL_BINDIR:STRING=llama_cpp/lib",
)
_NO_GPU = ("-DGGML_METAL=OFF", "-DGGML_CUDA=OFF")


class Backend(enum.Enum):
    """Where models run; CPU kernels are in every build. The portable ones run on other machines, too."""

    CPU = "cpu"
    CUDA = "cuda"
    METAL = "metal"
    PORTABLE = "portable"
    PORTABLE_CUDA = "portable-cuda"

    @property
    def is_portable(self) -> bool:
        """Whether the build is for other machines than the one that compiles it."""
        return self in (Backend.PORTABLE, Backend.PORTABLE_CUDA)

    @property
    def has_cuda(self) -> bool:
        """Whether it takes the CUDA toolkit to build."""
        return self in (Backend.CUDA, Backend.PORTABLE_CUDA)


_BACKEND_OPTIONS = {
    Backend.CPU: (*_THIS_PROCESSOR, *_NO_GPU),
    Backend.CUDA: (*_THIS_PROCESSOR, "-DGGML_CUDA=ON"),
    Backend.METAL: (*_THIS_PROCESSOR, "-DGGML_METAL=ON"),
    Backend.PORTABLE: (*_ANY_PROCESSOR, *_NO_GPU),
    Backend.PORTABLE_CUDA: (*_ANY_PROCESSOR, "-DGGML_CUDA=ON"),
}


@dataclasses.dataclass(frozen=True)
class UserOptions:
    """What the person's environment asks for. Compiler flags are kept apart, since ours are added to them."""

    cmake: tuple[str, ...] = ()
    c_flags: tuple[str, ...] = ()
    cxx_flags: tuple[str, ...] = ()


def user_options(environment: Mapping[str, str]) -> UserOptions:
    """Read CMAKE_ARGS, CFLAGS and CXXFLAGS; flags in CMAKE_ARGS win, as they do in CMake."""
    flags = {
        "CMAKE_C_FLAGS": environment.get("CFLAGS", ""),
        "CMAKE_CXX_FLAGS": environment.get("CXXFLAGS", ""),
    }
    rest = []
    arguments = iter(shlex.split(environment.get("CMAKE_ARGS", "")))
    for argument in arguments:
        define = f"-D{next(arguments, '')}" if argument == "-D" else argument
        match = re.match(r"-D(\w+)(?::\w+)?=(.*)", define, re.DOTALL)
        if match and match[1] in flags:
            flags[match[1]] = match[2]
        else:
            rest.append(define)
    c_flags, cxx_flags = (tuple(shlex.split(value)) for value in flags.values())
    return UserOptions(tuple(rest), c_flags, cxx_flags)


def cmake_arguments(backend: Backend, user: UserOptions, our_flags: Sequence[str] = ()) -> list[str]:
    """The options in order; the user's come last, so they win. `our_flags` are for both compilers."""
    flags = []
    for name, theirs in (("CMAKE_C_FLAGS", user.c_flags), ("CMAKE_CXX_FLAGS", user.cxx_flags)):
        if theirs or our_flags:
            flags.append(f"-D{name}={shlex.join([*theirs, *our_flags])}")
    return [*_BACKEND_OPTIONS[backend], _RPC, *flags, *user.cmake]


def digest(version: str, backend: Backend, toolchain: Toolchain, user: UserOptions, extra: str = "") -> str:
    """The name of a build. `extra` is what the backend adds, such as the CUDA compiler's version."""
    # Files count by content, not by where this checkout lies, so two checkouts share their wheels.
    options = [shlex.join([*_MEDIA, *cmake_arguments(backend, user, flags)]) for flags in ((), WITHOUT_AMX)]
    files = [path.read_text() for path in (_ONLY_LIBRARY, *source.files_of_patches())]
    parts = [version, backend.value, toolchain.identity(), options, files, extra]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:20]
