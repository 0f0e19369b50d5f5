"""What a GPU makes of all this, within nine minutes once we are installed: `make gpu-check`.

Each step is a process with its own limit of time, so one that fails leaves the outcome of the others; that is
written after each step. llama.cpp is compiled once, for the GPU at hand: `llama-server` and we share it.
"""

import argparse
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec
from caravan.llama import devices

from deploy.build import native
from deploy.build.recipe import Backend
from tests.bench import machine
from tests.bench.asking import post, short
from tests.bench.builds import Peers, ensure_peers, peers_folder
from tests.bench.measures import measure
from tests.bench.models import ensure_model
from tests.bench.plan import Outcome, Plan
from tests.bench.report import number, table
from tests.bench.scripts import Scale, closed_loop
from tests.bench.servers import KINDS, LLAMA_SERVER, OURS, Sizes, running
from tests.bench.workload import COMPLETIONS

ROOT = Path(__file__).parents[2]
MODEL = "7b-q4_k_m"
_CLIENTS = (1, 16, 64)
_CONTEXT = 512
_PROMPT, _ANSWER = 128, 64
_SHOWN = 600


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done within so many seconds, and which steps have to have passed before."""

    name: str
    seconds: float
    needs: tuple[str, ...] = ()


STEPS = (
    Step(name="model", seconds=50),
    Step(name="build", seconds=270),
    Step(name="devices", seconds=20, needs=("build",)),
    Step(name="logits", seconds=40, needs=("build",)),
    Step(name=OURS, seconds=75, needs=("model", "build", "devices")),
    Step(name=LLAMA_SERVER, seconds=75, needs=("model", "build", "devices")),
)


class Done(msgspec.Struct, kw_only=True):
    """How a step ended, what it took, and the end of what it said."""

    step: str
    outcome: str
    seconds: float
    said: str


def run(step: Step, command: Sequence[str], done: Sequence[Done]) -> Done:
    """Do a step in a process of its own, which is ended with all that it started when its time is up."""
    passed = {one.step for one in done if one.outcome == "passed"}
    if missing := [name for name in step.needs if name not in passed]:
        return Done(step=step.name, outcome="left out", seconds=0.0, said=f"for want of {', '.join(missing)}")
    began = time.monotonic()
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=step.seconds)
        outcome = "passed" if process.returncode == 0 else f"failed ({process.returncode})"
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        said, outcome = process.communicate()[0], "out of time"
    seconds = time.monotonic() - began
    return Done(step=step.name, outcome=outcome, seconds=seconds, said=said.strip()[-_SHOWN:])


def markdown(done: Sequence[Done], about: str) -> str:
    """All outcomes."""
    rows = [[one.step, one.outcome, number(one.seconds)] for one in done]
    said = [f"**{one.step}**\n\n{one.said}" for one in done if one.said]
    return "\n\n".join([about, table(("step", "outcome", "seconds"), rows), *said]) + "\n"


def _peers(folder: Path) -> Peers:
    return ensure_peers(folder, backend=Backend.CUDA)


def _devices() -> int:
    found = devices.gpus()
    print("\n".join(f"GPU of {gpu.total / 1e9:.1f} GB, {gpu.free / 1e9:.1f} GB free" for gpu in found))
    return 0 if found else 1


def _serve(name: str, folder: Path) -> int:
    """Answer 1, 16 and 64 clients, and print a table of it; the status says whether all got an answer."""
    first_error = ""
    sizes = Sizes(
        model=ensure_model(MODEL, folder / "models"),
        context=_CONTEXT,
        parallel=max(_CLIENTS),
        threads=len(os.sched_getaffinity(0)),
    )
    print("| clients | tokens/s | TTFT p50 | p95 | longest gap | errors |\n" + "| --- " * 6 + "|", flush=True)
    with running(KINDS[name], _peers(folder), sizes, folder) as server:
        post(server, COMPLETIONS, short(closed_loop(1, 1, 8, 8)(random.Random(0), Scale(1))[0].bodies[0]))
        for count in _CLIENTS:
            scripts = closed_loop(count, 1, _PROMPT, _ANSWER)(random.Random(count), Scale(1))
            plan = Plan(port=server.port, path=COMPLETIONS, scripts=scripts)
            command = [sys.executable, "-m", "tests.bench.client"]
            answer = subprocess.run(
                command, input=msgspec.json.encode(plan), stdout=subprocess.PIPE, check=True
            )
            found = measure(msgspec.json.decode(answer.stdout, type=Outcome))
            first_error = first_error or found.first_error
            values = (found.tokens_per_second, found.ttft_p50, found.ttft_p95, found.gap_max)
            cells = [str(count), *map(number, values), str(found.num_errors)]
            print(f"| {' | '.join(cells)} |", flush=True)
    print(first_error)
    return int(first_error != "")


def _do(name: str, folder: Path) -> int:
    """Do one step here."""
    tasks: dict[str, Callable[[], object]] = {
        "model": lambda: ensure_model(MODEL, folder / "models"),
        "build": lambda: print(_peers(folder).description),
        "devices": _devices,
        OURS: partial(_serve, OURS, folder),
        LLAMA_SERVER: partial(_serve, LLAMA_SERVER, folder),
    }
    return int(tasks[name]() == 1)


def command_of(step: Step, folder: Path, library: Path | None) -> list[str]:
    """The command line of a step. What runs a model is to have the library that was built for the GPU."""
    arguments = ["-m", "tests.bench.gpu_check", "--step", step.name, "--folder", str(folder)]
    if step.name == "logits":
        arguments = ["-m", "deploy.build.first_prompt", "--gpu"]
    own = [] if library is None else ["env", f"LLAMA_CPP_LIB_PATH={library}"]
    return [*own, sys.executable, *arguments]


def _library(folder: Path) -> Path:
    """Where the build for the GPU is. Raises BuildError where there can be none."""
    return peers_folder(folder, native.make_plan(Backend.CUDA)) / "llama.cpp" / "bin"


def main() -> int:
    """Do all steps; the exit status says whether all have passed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gpu_check", description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bench", help="builds and models")
    # For our own processes, which have the library that a step wants.
    parser.add_argument("--step", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        return _do(options.step, options.folder)
    results = options.folder / "results"
    results.mkdir(parents=True, exist_ok=True)
    done: list[Done] = []
    library = None
    for step in STEPS:
        done.append(run(step, command_of(step, options.folder, library), done))
        if (step.name, done[-1].outcome) == ("build", "passed"):
            library = _library(options.folder)
        print(f"{step.name}: {done[-1].outcome}, {done[-1].seconds:.0f} s", file=sys.stderr, flush=True)
        (results / "gpu-check.json").write_bytes(msgspec.json.encode(done))
        (results / "gpu-check.md").write_text(markdown(done, machine.describe()))
    print(markdown(done, machine.describe()))
    return int(any(one.outcome != "passed" for one in done))


if __name__ == "__main__":
    sys.exit(main())
