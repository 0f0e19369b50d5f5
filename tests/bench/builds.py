"""llama.cpp's own server and benchmarks, out of the source distribution that our package is built from.

Compiler, flags and the repair of AMX are those of `deploy.build`, so a ratio compares programs, not builds.
"""

import dataclasses
import os
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TextIO

from deploy.build import amx, native, recipe, store
from deploy.build.amx import Amx
from deploy.build.compile import num_jobs
from deploy.build.errors import BuildError
from deploy.build.native import Plan
from deploy.build.progress import Progress
from deploy.build.recipe import Backend

_TARGETS = ("llama-server", "llama-batched-bench", "llama-bench")
_OPTIONS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=ON",
    "-DLLAMA_BUILD_COMMON=ON",
    "-DLLAMA_BUILD_TOOLS=ON",
    "-DLLAMA_BUILD_SERVER=ON",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_APP=OFF",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
    "-DLLAMA_OPENSSL=OFF",
)


@dataclasses.dataclass(frozen=True)
class Peers:
    """What was built, and where llama-cpp-python's example server lies."""

    binaries: Path
    example_server: Path
    description: str

    def binary(self, name: str) -> Path:
        return self.binaries / name


def ensure_peers(folder: Path) -> Peers:
    """Fetch and build what is not there yet; the first time takes minutes. Raises BuildError."""
    version = recipe.pinned_version(native.CONSTRAINTS)
    plan = native.make_plan(Backend.CPU)
    # A source that was edited by one recipe cannot be edited by the next.
    folder = folder / f"peers-{plan.digest[:8]}"
    source = _ensure_source(version, folder / "source")
    binaries = folder / "llama.cpp" / "bin"
    verdict = _verdict(plan)
    _build(source / "vendor" / "llama.cpp", binaries.parent, plan, verdict)
    description = f"llama.cpp of {recipe.PACKAGE} {version}, AMX {verdict.value}"
    return Peers(binaries, source / "examples" / "server" / "server.py", description)


def _ensure_source(version: str, folder: Path) -> Path:
    source = folder / f"{recipe.PACKAGE.replace('-', '_')}-{version}"
    if source.exists():
        return source
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation"]
    command += ["--no-binary", recipe.PACKAGE, "--dest", str(folder), f"{recipe.PACKAGE}=={version}"]
    if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode != 0:
        raise BuildError(f"pip could not download the source of {recipe.PACKAGE} {version}")
    archive = folder / f"{source.name}.tar.gz"
    unpacked = folder / "unpacked"
    with tarfile.open(archive) as file:
        file.extractall(unpacked, filter="data")
    (unpacked / source.name).replace(source)
    archive.unlink()
    return source


def _cmake_arguments(plan: Plan, verdict: Amx) -> list[str]:
    """The recipe's arguments, without what leaves llama.cpp's programs out of our own build."""
    arguments = [
        argument
        for argument in recipe.cmake_arguments(plan.backend, verdict, plan.user)
        if str(recipe.ONLY_LIBRARY) not in argument and "LLAVA_BUILD" not in argument
    ]
    return [*arguments, *_OPTIONS]


def _verdict(plan: Plan) -> Amx:
    """What was done about AMX in the wheel that is installed; where that is unknown, what would be done."""
    wheel = store.open_store(native.BUILD, os.environ).find(plan.digest)
    return wheel.amx if wheel else amx.probe(plan.toolchain)


def _build(source: Path, folder: Path, plan: Plan, verdict: Amx) -> None:
    """Configure and compile; where all is done already, that takes a second."""
    environment = {name: value for name, value in os.environ.items() if name not in ("CFLAGS", "CXXFLAGS")}
    environment["CC"] = shlex.join(plan.toolchain.c.command)
    environment["CXX"] = shlex.join(plan.toolchain.cxx.command)
    tools = str(Path(sys.executable).parent)
    environment["PATH"] = os.pathsep.join([tools, environment.get("PATH", os.defpath)])
    configure = ["cmake", "-G", "Ninja", "-S", str(source), "-B", str(folder)]
    compile_ = ["cmake", "--build", str(folder), "--parallel", str(num_jobs()), "--target", *_TARGETS]
    progress = Progress("peers", sys.stderr)
    log = folder.with_suffix(".log")
    with log.open("w") as file:
        for command in ([*configure, *_cmake_arguments(plan, verdict)], compile_):
            if _run(command, environment, file, progress) != 0:
                raise BuildError(f"the peers were not built; the log is in {log}")
    progress.finish("built")


def _run(command: list[str], environment: dict[str, str], log: TextIO, progress: Progress) -> int:
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            log.write(line)
            progress.feed(line)
        return process.wait()
