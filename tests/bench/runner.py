"""Runs workloads: servers in turn, each started anew, the clients in a process of their own."""

import contextlib
import mmap
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
from caravan.runtime.machine import available_memory

from tests.bench import known, machine, raw
from tests.bench.asking import REFUSED, post, short
from tests.bench.builds import Peers
from tests.bench.measures import Measures, measure
from tests.bench.models import SHAPES, NoModelError, ensure_model
from tests.bench.plan import Body, Outcome, Plan, Script
from tests.bench.report import WorkloadResults
from tests.bench.scripts import Scale
from tests.bench.servers import KINDS, Keeping, Server, ServerError, Sizes, running
from tests.bench.workload import Workload

# Processor time of the clients' process before and after its work, which nobody waits for.
_CLIENT_START_SECONDS = 0.1
_TOLERATED_SHARE = 0.15
_BLOCK = 1 << 22
_SPARE_BYTES = 1 << 30
_PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
# Linux has it; elsewhere the pages are found when they are wanted.
_POPULATED: int = getattr(mmap, "MAP_POPULATE", 0)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What stays the same over all runs. A disturbed run gets up to `attempts` tries; `say` hears of each."""

    peers: Peers
    folder: Path
    servers: Sequence[str]
    threads: int
    scale: Scale
    attempts: int
    say: Callable[[str], None]

    def repeat(self, workload: Workload, number: int, results: WorkloadResults) -> None:
        """Run a workload on each server, in an order that turns with `number`; adds to the results."""
        try:
            model = self._model(workload.model)
        except NoModelError as error:
            _note_once(results.notes, f"it did not run: {error}.")
            return
        sizes = Sizes(
            model=model,
            context=workload.context,
            parallel=workload.parallel,
            threads=self.threads,
            max_running=workload.max_running,
            ranks=workload.ranks,
        )
        order = self.servers if number % 2 == 0 else self.servers[::-1]
        for name in order:
            if workload.is_known and KINDS[name].keeping is Keeping.NOT:
                _note_once(results.notes, f"{name} did not run: {Keeping.NOT.value}.")
                continue
            found = self._run_undisturbed(workload, number, name, sizes, results.notes)
            results.runs.setdefault(name, []).append(found)
            self.say(f"{workload.name} #{number + 1} {name}: {_in_short(found)}")
        self._raw(workload, sizes.model, results)

    def _model(self, name: str) -> Path:
        """The model's file, if there is room for it. Raises NoModelError."""
        needed = _needed_bytes(SHAPES[name].num_bytes) if name in SHAPES else 0
        if needed > (free := available_memory()):
            raise NoModelError(f"it takes {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free")
        return ensure_model(name, self.folder / "models")

    def _run_undisturbed(
        self, workload: Workload, number: int, name: str, sizes: Sizes, notes: list[str]
    ) -> Measures:
        """The first run in which other processes took little, or the least disturbed of some."""
        found: list[Measures] = []
        for attempt in range(self.attempts):
            found.append(self._run(workload, f"{number}/{attempt}", name, sizes, notes))
            if found[-1].foreign_cpu_share <= _TOLERATED_SHARE:
                return found[-1]
            self.say(f"{workload.name} {name}: disturbed, {_in_short(found[-1])}")
        best = min(found, key=lambda one: one.foreign_cpu_share)
        notes.append(
            f"{name} was disturbed: other processes took {best.foreign_cpu_share:.0%} of a processor."
        )
        return best

    def _run(self, workload: Workload, seed: str, name: str, sizes: Sizes, notes: list[str]) -> Measures:
        workload, kind = workload.on(name), KINDS[name]
        scripts = workload.scripts(random.Random(f"{workload.name}/{seed}"), self.scale)
        _warm_up(sizes.model)
        try:
            with contextlib.ExitStack() as stack:
                if workload.is_known:
                    kept = stack.enter_context(tempfile.TemporaryDirectory(dir=self.folder))
                    sizes = replace(sizes, prefix_cache=Path(kept))
                    with running(kind, self.peers, sizes, self.folder) as before:
                        known.make_known(kind.keeping, before, workload.path, scripts)
                server = stack.enter_context(running(kind, self.peers, sizes, self.folder))
                began = time.perf_counter()
                post(server, workload.path, short(scripts[0].bodies[0]))
                first_answer = time.perf_counter() - began
                if workload.is_known:
                    scripts = known.bring_back(kind.keeping, server, scripts, notes)
                if workload.optional and self._takes(workload, server):
                    scripts = [_with_fields(script, workload.optional) for script in scripts]
                elif workload.optional:
                    notes.append(f"{name} refuses {', '.join(workload.optional)}; it ran without.")
                found = self._measure(workload, name, server, scripts, notes)
                found.first_answer_seconds = first_answer
                return found
        except ServerError as error:
            notes.append(f"{name}: {error}")
            return Measures(num_errors=1, first_error=str(error))

    def _takes(self, workload: Workload, server: Server) -> bool:
        probe = short(workload.scripts(random.Random(0), self.scale)[0].bodies[0])
        return post(server, workload.path, probe | workload.optional) != REFUSED

    def _measure(
        self, workload: Workload, name: str, server: Server, scripts: list[Script], notes: list[str]
    ) -> Measures:
        plan = Plan(port=server.port, path=workload.path, scripts=scripts)
        cpu_before, busy_before = server.cpu_seconds(), machine.busy_seconds()
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.client"],
            input=msgspec.json.encode(plan),
            stdout=subprocess.PIPE,
            check=True,
        )
        busy_seconds = machine.busy_seconds() - busy_before
        outcome = msgspec.json.decode(done.stdout, type=Outcome)
        if not all(exchange.has_usage or exchange.error for exchange in outcome.exchanges):
            notes.append(f"{name} sends no usage with a stream; its pieces of text count as tokens.")
        found = measure(outcome, ttft_group=workload.ttft_group, gap_group=workload.gap_group)
        found.resident_bytes = server.resident_bytes()
        found.seconds_to_ready = server.seconds_to_ready
        cpu_seconds = server.cpu_seconds() - cpu_before
        found.server_cpu_share = cpu_seconds / outcome.seconds
        foreign = busy_seconds - cpu_seconds - outcome.client_cpu_seconds - _CLIENT_START_SECONDS
        found.foreign_cpu_share = max(0.0, foreign / outcome.seconds)
        return found

    def _raw(self, workload: Workload, model: Path, results: WorkloadResults) -> None:
        if workload.raw_decode is not None:
            num_sequences, num_tokens = workload.raw_decode
            speed = raw.decode_speed(self.peers, model, num_sequences, num_tokens, self.threads)
            results.raw_decode.append(speed)
        if workload.raw_prefill is not None:
            speed = raw.prefill_speed(self.peers, model, workload.raw_prefill, self.threads)
            results.raw_prefill.append(speed)


def _with_fields(script: Script, fields: Body) -> Script:
    return msgspec.structs.replace(script, bodies=[body | fields for body in script.bodies])


def _warm_up(model: Path) -> None:
    """Have the system keep a file in memory, and a virtual machine's host find what memory a server takes:
    what the first of a pair waits for would otherwise be there for the second.
    """
    with model.open("rb", buffering=0) as file:
        while file.read(_BLOCK):
            pass
    needed = _needed_bytes(model.stat().st_size)
    mmap.mmap(-1, needed, flags=_PRIVATE | _POPULATED).close()


def _needed_bytes(file_bytes: int) -> int:
    """What a server takes at the most: weights may be repacked beside the file's."""
    return _SPARE_BYTES + 2 * file_bytes


def _in_short(found: Measures) -> str:
    if found.tokens_per_second is None:
        return found.first_error
    text = f"{found.tokens_per_second:.0f} tokens/s in {found.seconds:.1f} s"
    if found.ttft_p95 is not None and found.gap_max is not None:
        text += f", TTFT p95 {found.ttft_p95:.2f} s, longest gap {found.gap_max:.2f} s"
    text += f", processor share of server {found.server_cpu_share:.0%}, clients {found.client_cpu_share:.0%}"
    return f"{text}, {found.num_errors} errors ({found.first_error})" if found.num_errors else text


def _note_once(notes: list[str], note: str) -> None:
    if note not in notes:
        notes.append(note)
