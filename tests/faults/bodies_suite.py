"""How long others wait for their next token while somebody sends bodies of the largest size: prints a table.

Each shape is sent by `BODIES_CLIENTS` at once (8), in `BODIES_ROUNDS` rounds (3).
`BODIES_SHAPES=quotes,tools` picks some of them.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.bystanders import Bystanders, bystanders
from tests.faults.clients import Waits, longest_waits, send_together
from tests.faults.conftest import MODEL
from tests.faults.hostile_bodies import SHAPES
from tests.faults.process import ServerProcess, server_process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

_ROUNDS = int(os.environ.get("BODIES_ROUNDS", "3"))
_CLIENTS = int(os.environ.get("BODIES_CLIENTS", "8"))
_NAMES = list(filter(None, os.environ.get("BODIES_SHAPES", "").split(","))) or list(SHAPES)
# Beyond what others wait while nobody does anything; and so many times that, where others use the machine.
_MOST_SECONDS, _MOST_TIMES = 0.3, 6
# Until a stream's first token, beside whatever work was asked for by others of the same owner.
_MOST_FIRST = 2.0
_MEGABYTE = 2**20


def test_nobody_waits_long_for_the_sake_of_a_body(tiny_options: tuple[str, ...]) -> None:
    with server_process(*tiny_options) as server:
        with bystanders(server.address, MODEL) as crowd:
            usual = _worst([longest_waits(crowd, lambda: time.sleep(2)) for _ in range(_ROUNDS)], max)
            print(f"\nundisturbed: first token after {usual.first:.3f} s, then gaps of {usual.gap:.3f} s")
            print("| shape | answer | seconds | first token, s | longest gap, s | memory at most, MB |")
            print("| --- | --- | --- | --- | --- | --- |")
            worst = {}
            for name in _NAMES:
                whole, admitted = SHAPES[name].body(), SHAPES[name].admitted()
                if whole != admitted:
                    worst[name] = _tried(server, crowd, name, whole)
                worst[f"{name}, admitted"] = _tried(server, crowd, name, admitted)
        crowd.seen.assert_unharmed()
        assert not server.has_ended
        most = max(usual.gap + _MOST_SECONDS, usual.gap * _MOST_TIMES)
        assert {name: waits for name, waits in worst.items() if waits.gap > most} == {}
        assert {name: waits for name, waits in worst.items() if waits.first > _MOST_FIRST} == {}


def _tried(server: ServerProcess, crowd: Bystanders, name: str, body: bytes) -> Waits:
    """Send one shape; prints its line of the table. The medians over the rounds."""
    statuses: list[int] = []
    _forget_peak(server.pid)
    begun = time.monotonic()
    waits = [longest_waits(crowd, lambda: statuses.extend(_sent(server, name, body))) for _ in range(_ROUNDS)]
    seconds = (time.monotonic() - begun) / _ROUNDS
    told = " ".join(map(str, sorted(set(statuses))))
    first, gap = (" ".join(f"{seconds:.2f}" for seconds in column) for column in zip(*waits, strict=True))
    label = f"{name}, {len(body) / _MEGABYTE:.1f} MB"
    print(
        f"| {label} | {told} | {seconds:.1f} | {first} | {gap} | {_peak(server.pid) / _MEGABYTE:.0f} |",
        flush=True,
    )
    return _worst(waits, statistics.median)


def _worst(waits: list[Waits], of: Callable[[list[float]], float]) -> Waits:
    return Waits(of([wait.first for wait in waits]), of([wait.gap for wait in waits]))


def _sent(server: ServerProcess, name: str, body: bytes) -> list[int]:
    return send_together(server.address, SHAPES[name].path, body, count=_CLIENTS)


def _peak(pid: int) -> int:
    """The most memory that a process has had since the last look."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def _forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")
