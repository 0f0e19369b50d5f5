"""Puts a llama.cpp made for this machine into the virtual environment that runs this module.

In order: take a wheel of the same digest or compile one from patched source, let it answer a first prompt,
and only then keep and install it. A build that fails with AMX is made again without.
"""

import argparse
import contextlib
import fcntl
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.build import recipe, source, toolchain, wheels
from deploy.build.compile import compile_wheel
from deploy.build.recipe import Backend, UserOptions
from deploy.build.toolchain import BuildError, Toolchain
from deploy.build.wheels import ROOT, WheelStore, try_wheel

BUILD = ROOT / "build"
SOURCE = BUILD / "source"
CONSTRAINTS = ROOT / "constraints.txt"


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
    compilers = toolchain.find(user.c_flags, user.cxx_flags)
    extra = ""
    if backend.has_cuda:
        os.environ["CUDACXX"] = toolchain.find_cuda()
        extra = toolchain.cuda_identity(os.environ["CUDACXX"])
    version = source.pinned_version(CONSTRAINTS)
    return Plan(version, backend, compilers, user, recipe.digest(version, backend, compilers, user, extra))


def ensure(backend: Backend) -> None:
    """Leave the right wheel installed; returns at once where it is. Raises BuildError."""
    plan = make_plan(backend)
    with _lock():
        if wheels.is_installed(plan.digest):
            return
        store = wheels.open_store(BUILD, os.environ)
        wheels.install(_reuse(plan, store) or _build(plan, store), plan.digest)


def _reuse(plan: Plan, store: WheelStore) -> Path | None:
    """A kept wheel, tried again: the check is seconds, and what lies under the library may have changed."""
    wheel = store.find(plan.digest)
    if wheel is None:
        return None
    trial = try_wheel(wheel, plan.backend)
    if trial.problem is None:
        _say(f"kept wheel of this very build; {trial.summary}")
        return wheel
    _say(f"the kept wheel does not pass any more, building anew ({trial.problem})")
    store.discard(plan.digest)
    return None


def _build(plan: Plan, store: WheelStore) -> Path:
    problem = ""
    # A compiler can break AMX, and one that does is found out by the first prompt.
    may_do_without_amx = plan.toolchain.has_amx and not plan.backend.is_portable
    for flags in ((), recipe.WITHOUT_AMX) if may_do_without_amx else ((),):
        what = f"{source.PACKAGE} {plan.version} for {plan.backend.value}"
        _say(f"compiling {what}{' without AMX' if flags else ''}")
        wheel = _compile(plan, flags)
        started = time.monotonic()
        trial = try_wheel(wheel, plan.backend)
        if trial.problem is None:
            _say(f"first prompt answered in {time.monotonic() - started:.0f} s; {trial.summary}")
            return store.save(plan.digest, wheel)
        problem = trial.problem
        _say(f"this build is not to be trusted: {problem}")
        if trial.only_gpu:
            break
    raise BuildError(f"llama.cpp was compiled but fails its first prompt: {problem}\nNothing was installed.")


def _compile(plan: Plan, flags: Sequence[str]) -> Path:
    arguments = [*recipe.LIBRARY_ONLY, *recipe.cmake_arguments(plan.backend, plan.user, flags)]
    SOURCE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SOURCE) as folder:
        tree, patches = source.unpack(source.fetch(plan.version, SOURCE), Path(folder))
        for name, reason in patches.left_out.items():
            _say(f"going on without {name}.patch: {reason}")
        return compile_wheel(tree, arguments, plan.toolchain, BUILD / "unchecked", BUILD / "native.log")


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
