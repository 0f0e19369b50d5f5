"""Puts a llama.cpp made for this machine into the virtual environment that runs this module.

In order: probe the compiler for AMX, take a wheel of the same digest or compile one, let it answer a first
prompt, and only then keep and install it. A build that fails with AMX is made again without.
"""

import argparse
import contextlib
import fcntl
import importlib.metadata
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.build import amx, compiler, cuda, recipe, store
from deploy.build.amx import Amx
from deploy.build.compile import compile_wheel
from deploy.build.compiler import Toolchain
from deploy.build.errors import BuildError
from deploy.build.recipe import Backend, UserOptions
from deploy.build.store import Wheel, WheelStore
from deploy.build.trial import ROOT, try_wheel

BUILD = ROOT / "build"
CONSTRAINTS = ROOT / "constraints.txt"
_RECORD = "llama-build.json"

_ABOUT_AMX = {
    Amx.UNUSED: "no AMX here",
    Amx.WORKS: "AMX on",
    Amx.REPAIRED: "AMX on, with this compiler's fault repaired",
    Amx.OFF: "AMX off: this compiler breaks it",
}


@dataclass(frozen=True)
class Plan:
    """What to build, with what, and the name of the result."""

    version: str
    backend: Backend
    toolchain: Toolchain
    user: UserOptions
    digest: str


def make_plan(backend: Backend) -> Plan:
    """Look at the machine; takes some tenths of a second. Raises BuildError."""
    user = recipe.user_options(os.environ)
    toolchain = compiler.find(user.c_flags, user.cxx_flags)
    extra = ""
    if backend.has_cuda:
        os.environ["CUDACXX"] = cuda.find_compiler()
        extra = cuda.identity(os.environ["CUDACXX"])
    version = recipe.pinned_version(CONSTRAINTS)
    return Plan(version, backend, toolchain, user, recipe.digest(version, backend, toolchain, user, extra))


def ensure(backend: Backend) -> None:
    """Leave the right wheel installed; returns at once where it is. Raises BuildError."""
    plan = make_plan(backend)
    with _lock():
        if _is_installed(plan.digest):
            return
        wheels = store.open_store(BUILD, os.environ)
        wheel = _reuse(plan, wheels) or _build(plan, wheels)
        _install(wheel, plan.digest)


def _reuse(plan: Plan, wheels: WheelStore) -> Wheel | None:
    """A kept wheel, tried again: the check is seconds, and what lies under the library may have changed."""
    wheel = wheels.find(plan.digest)
    if wheel is None:
        return None
    trial = try_wheel(wheel.path, plan.backend)
    if trial.problem is None:
        _say(f"kept wheel of this very build, {_ABOUT_AMX[wheel.amx]}; {trial.summary}")
        return wheel
    _say(f"the kept wheel does not pass any more, building anew ({trial.problem})")
    wheels.discard(plan.digest)
    return None


def _build(plan: Plan, wheels: WheelStore) -> Wheel:
    verdicts = _verdicts(plan)
    problem = ""
    for attempt in verdicts:
        _say(f"compiling {recipe.PACKAGE} {plan.version} for {plan.backend.value}, {_ABOUT_AMX[attempt]}")
        wheel = _compile(plan, attempt)
        started = time.monotonic()
        trial = try_wheel(wheel.path, plan.backend)
        if trial.problem is None:
            _say(f"first prompt answered in {time.monotonic() - started:.0f} s; {trial.summary}")
            return wheels.save(plan.digest, wheel)
        problem = trial.problem
        _say(f"this build is not to be trusted: {problem}")
        if trial.only_gpu:
            break
    raise BuildError(f"llama.cpp was compiled but fails its first prompt: {problem}\nNothing was installed.")


def _verdicts(plan: Plan) -> list[Amx]:
    """What to do about AMX, and what to try if that fails."""
    if plan.backend.is_portable:
        # This machine may be unable to run the probe, and the repair does no harm where it is not needed.
        return [Amx.REPAIRED]
    verdict = amx.probe(plan.toolchain)
    return [verdict, Amx.OFF] if verdict in (Amx.WORKS, Amx.REPAIRED) else [verdict]


def _compile(plan: Plan, verdict: Amx) -> Wheel:
    if verdict is Amx.OFF and not plan.toolchain.cxx.accepts(amx.OFF_FLAGS):
        raise BuildError(
            "this compiler breaks AMX and takes none of the flags that switch it off; try another"
        )
    arguments = recipe.cmake_arguments(plan.backend, verdict, plan.user)
    log = BUILD / "native.log"
    path = compile_wheel(plan.version, arguments, plan.toolchain, BUILD / "unchecked", log)
    return Wheel(path, store.sha256(path), verdict)


def _install(wheel: Wheel, digest: str) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    command += ["--force-reinstall", str(wheel.path)]
    if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode != 0:
        raise BuildError(f"pip could not install {wheel.path}")
    Path(sys.prefix, _RECORD).write_text(json.dumps({"digest": digest, "sha256": wheel.sha256}))


def _is_installed(digest: str) -> bool:
    """Whether the environment holds what was installed here under that digest, and not something newer."""
    try:
        record = json.loads(Path(sys.prefix, _RECORD).read_text())
        origin = importlib.metadata.distribution(recipe.PACKAGE).read_text("direct_url.json")
        archive = json.loads(origin or "{}").get("archive_info", {})
    except (OSError, ValueError, importlib.metadata.PackageNotFoundError):
        return False
    installed = archive.get("hashes", {}).get("sha256")
    return bool(record.get("digest") == digest and record.get("sha256") == installed)


@contextlib.contextmanager
def _lock() -> Iterator[None]:
    """One build at a time in a checkout; a second `make` waits and then finds the work done."""
    BUILD.mkdir(exist_ok=True)
    with (BUILD / "native.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _say(text: str) -> None:
    print(f"llama.cpp  {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Run from `make`; the exit status says whether a trusted build is installed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=[backend.value for backend in Backend], default="cpu")
    backend = Backend(parser.parse_args().backend)
    if sys.prefix == sys.base_prefix:
        parser.error("run me with the Python of a virtual environment")
    try:
        ensure(backend)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
