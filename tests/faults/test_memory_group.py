"""A control group has no memory left: the system ends a process of it, and that has to be an engine."""

import os
import sys
import time
from pathlib import Path

import pytest

from tests.faults.bystanders import Bystanders, bystanders
from tests.faults.conftest import MODEL
from tests.faults.memory_group import Hog, memory_group
from tests.faults.process import child_pids, server_process
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems choose by other rules")

_MEGABYTE = 1 << 20
_HONEST = ("engine_error", "engine_unavailable", "insufficient_memory")


def _willingness(pid: int | str) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def test_children_go_before_the_process_that_speaks_http(tiny_options: tuple[str, ...]) -> None:
    with server_process(*tiny_options) as server:
        server.engine_pid()
        own = _willingness("self")
        assert _willingness(server.pid) == own
        children = child_pids(server.pid)
        assert len(children) >= 2  # the engine, and the template's process
        assert {_willingness(pid) for pid in children} == {min(1000, own + 500)}


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a control group")
def test_the_engine_is_ended_and_is_back_when_there_is_memory(tiny_options: tuple[str, ...]) -> None:
    with memory_group() as group, server_process(*tiny_options, prepare=group.enter) as server:
        engine = server.engine_pid()
        hog = Hog(group)
        try:
            with bystanders(server.address, MODEL) as crowd:
                crowd.wait_for(2)
                # So much that half of it, by which children go sooner, is more than the server itself has.
                # The system may end two: for a moment it counts the first one's memory as not yet free.
                group.limit(group.used + 256 * _MEGABYTE)
                while Path(f"/proc/{engine}").exists():
                    assert not server.has_ended
                    hog.take(4 * _MEGABYTE)
                    time.sleep(0.02)
                wait_until(lambda: bool(crowd.seen.lost))
                hog.close()
                begun = time.monotonic()
                server.wait_ready()
                print(f"back {time.monotonic() - begun:.1f} s after there was memory")
                crowd.wait_for(4)
        finally:
            hog.close()
        assert not server.has_ended
        assert crowd.seen.changed == []
        assert [line for line in crowd.seen.lost if not any(code in line for code in _HONEST)] == []
        assert "short of memory" in server.output
        assert Bystanders(server.address, MODEL).expected == crowd.expected
