"""Processes beside the server's: what reaches them while they begin, and when they end."""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from caravan.runtime import children, signals
from caravan.runtime.threads import in_lasting_thread

from tests.faults.process import is_running
from tests.waiting import PATIENCE, wait_until

MODULE = "tests.engine.hanging"


@pytest.mark.parametrize("number", signals.OF_THE_GROUP)
def test_a_signal_to_the_group_does_not_reach_one_that_begins(number: signal.Signals) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = children.start("caravan.engine.worker", theirs)
        os.kill(process.pid, number)
    assert process.wait(PATIENCE) == 0
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_it_knows_when_its_parent_is_another() -> None:
    command = [sys.executable, "-m", "caravan.runtime.children", MODULE, "0", "1"]
    assert subprocess.run(command, timeout=PATIENCE, check=False).returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux binds a child to a thread")
def test_one_that_a_short_thread_has_started_lives_on() -> None:
    ours, theirs = socket.socketpair()
    started: list[subprocess.Popen[bytes]] = []
    with theirs:
        thread = threading.Thread(
            target=lambda: started.append(children.start("caravan.engine.worker", theirs))
        )
        thread.start()
        thread.join()
    (process,) = started
    # Bound by now: it ignores signals only after that.
    ignored = int(signal.SIGTERM) - 1
    wait_until(lambda: bool(_mask(process.pid, "SigIgn") >> ignored & 1))
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    ours.close()
    assert process.wait(PATIENCE) == 0
    assert not is_running(process.pid)


def test_a_thread_that_lasts_is_always_the_same() -> None:
    found = [in_lasting_thread(threading.get_ident)]
    other = threading.Thread(target=lambda: found.append(in_lasting_thread(threading.get_ident)))
    other.start()
    other.join()
    assert found[0] == found[1]
    with pytest.raises(ZeroDivisionError):
        in_lasting_thread(lambda: 1 // 0)


def _mask(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1], 16) for line in lines if line.startswith(f"{name}:"))
