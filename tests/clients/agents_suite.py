"""The clients that take minutes to install, each in an environment of its own: `make test-clients-all`."""

import pytest

from tests.clients.agents import AGENTS
from tests.clients.programs import MODEL, Program, Row
from tests.clients.scripted import NAME, scripted_server


@pytest.mark.parametrize("program", AGENTS, ids=lambda program: program.name)
def test_a_client_goes_all_the_way(request: pytest.FixtureRequest, rows: list[Row], program: Program) -> None:
    assert program.is_installed, "run make test-clients-all"
    if program.turns is None:
        program.converse(request.getfixturevalue("live_server").url, MODEL, rows)
    else:
        with scripted_server(program.turns) as url:
            program.converse(url, NAME, rows)
