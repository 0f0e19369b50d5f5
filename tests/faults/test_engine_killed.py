"""The engine's process is ended from outside while it computes."""

import os
import signal
import sys

import pytest

from tests.faults.bystanders import bystanders
from tests.faults.conftest import MODEL
from tests.faults.process import server_process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for the child in /proc")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV], ids=lambda number: number.name)
def test_running_requests_get_one_error_each_and_then_all_is_as_before(
    tiny_options: tuple[str, ...], number: signal.Signals
) -> None:
    with server_process(*tiny_options) as server:
        with bystanders(server.address, MODEL) as crowd:
            crowd.wait_for(2)
            os.kill(server.engine_pid(), number)
            crowd.wait_for(1)
            server.wait_ready()
            crowd.wait_for(4)
        assert crowd.seen.changed == []
        # Each of the two streams that ran breaks once; then a 503 until the engine is back.
        broken = [line for line in crowd.seen.lost if "engine_unavailable" not in line]
        assert len(broken) <= 2
        assert all("engine_error" in line for line in broken)
        assert not server.has_ended
