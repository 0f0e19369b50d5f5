"""A live server, started as a user would, on a free port of 127.0.0.1, with the model that ships."""

from collections.abc import Iterator

import pytest

from tests.faults.process import ServerProcess


@pytest.fixture(scope="session")
def live_server() -> Iterator[ServerProcess]:
    """One server with the resident model for the whole session."""
    server = ServerProcess("--threads", "1")
    yield server
    assert server.stop() == 0, server.output
