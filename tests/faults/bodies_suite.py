"""How long others wait for their next token while somebody sends bodies of the largest size: prints a table.

Each shape is sent by `BODIES_CLIENTS` at once (8), in `BODIES_ROUNDS` rounds (3).
`BODIES_SHAPES=quotes,tools` picks some of them.
"""

import os
import statistics
import sys
import time
from pathlib import Path

import pytest

from tests.faults.bystanders import Bystanders, bystanders
from tests.faults.clients import longest_gap, send_together
from tests.faults.conftest import MODEL
from tests.faults.hostile_bodies import SHAPES
from tests.faults.process import ServerProcess, server_process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

_ROUNDS = int(os.environ.get("BODIES_ROUNDS", "3"))
_CLIENTS = int(os.environ.get("BODIES_CLIENTS", "8"))
_NAMES = list(filter(None, os.environ.get("BODIES_SHAPES", "").split(","))) or list(SHAPES)
# Beyond what others wait while nobody does anything; and so many times that, where others use the machine.
_MOST_SECONDS, _MOST_TIMES = 0.3, 6
_MEGABYTE = 2**20


def test_nobody_waits_long_for_the_sake_of_a_body(tiny_options: tuple[str, ...]) -> None:
    with server_process(*tiny_options) as server:
        with bystanders(server.address, MODEL) as crowd:
            usual = max(longest_gap(crowd, lambda: time.sleep(2)) for _ in range(_ROUNDS))
            print(f"\nundisturbed: longest gaps of {usual:.3f} s")
            print("| shape | answer | seconds | longest gaps, s | memory at most, MB |")
            print("| --- | --- | --- | --- | --- |")
            worst = {}
            for name in _NAMES:
                whole, admitted = SHAPES[name].body(), SHAPES[name].admitted()
                if whole != admitted:
                    worst[name] = _tried(server, crowd, name, whole)
                worst[f"{name}, admitted"] = _tried(server, crowd, name, admitted)
        crowd.seen.assert_unharmed()
        assert not server.has_ended
        most = max(usual + _MOST_SECONDS, usual * _MOST_TIMES)
        assert {name: gap for name, gap in worst.items() if gap > most} == {}


def _tried(server: ServerProcess, crowd: Bystanders, name: str, body: bytes) -> float:
    """Send one shape; prints its line of the table. The median over the rounds of the longest gap."""
    statuses: list[int] = []
    _forget_peak(server.pid)
    begun = time.monotonic()
    gaps = [longest_gap(crowd, lambda: statuses.extend(_sent(server, name, body))) for _ in range(_ROUNDS)]
    seconds = (time.monotonic() - begun) / _ROUNDS
    told = " ".join(map(str, sorted(set(statuses))))
    shown = " ".join(f"{gap:.2f}" for gap in gaps)
    label = f"{name}, {len(body) / _MEGABYTE:.1f} MB"
    print(f"| {label} | {told} | {seconds:.1f} | {shown} | {_peak(server.pid) / _MEGABYTE:.0f} |", flush=True)
    return statistics.median(gaps)


def _sent(server: ServerProcess, name: str, body: bytes) -> list[int]:
    return send_together(server.address, SHAPES[name].path, body, count=_CLIENTS)


def _peak(pid: int) -> int:
    """The most memory that a process has had since the last look."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def _forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")
