"""Bodies of the largest size, eight at once, of some shapes that once stopped everybody for many seconds.

All shapes, with a table of the times, are in `bodies_suite.py`.
"""

import sys

import pytest

from tests.faults.bystanders import Bystanders, bystanders
from tests.faults.clients import longest_waits, send_together
from tests.faults.conftest import MODEL
from tests.faults.hostile_bodies import SHAPES
from tests.faults.process import server_process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

# Less than each of them took on an idle machine; this one may be busy.
_MOST_SECONDS = 5.0
_SHAPES = ("prompts of one token", "a prompt of ids", "biases")


def test_streams_go_on_beside_large_bodies(tiny_options: tuple[str, ...]) -> None:
    with server_process(*tiny_options) as server:
        with bystanders(server.address, MODEL) as crowd:
            for name in _SHAPES:
                for body in (SHAPES[name].body(), SHAPES[name].admitted()):
                    _try(server.address, crowd, name, body)
        crowd.seen.assert_unharmed()


def _try(address: str, crowd: Bystanders, name: str, body: bytes) -> None:
    statuses: list[int] = []

    def wait() -> float:
        return max(
            longest_waits(crowd, lambda: statuses.extend(send_together(address, SHAPES[name].path, body)))
        )

    # What is the body's doing is there each time, and what is the machine's is not.
    assert any(wait() < _MOST_SECONDS for _ in range(3)), name
    assert set(statuses) == {400}, name
