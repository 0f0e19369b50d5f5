"""The clients that take minutes to install, each in an environment of its own: `make test-clients-all`."""

from collections.abc import Callable

import pytest

from tests.clients.agents import AGENTS
from tests.clients.programs import Program


@pytest.mark.parametrize("program", AGENTS, ids=lambda program: program.name)
def test_a_client_goes_all_the_way(talk: Callable[[Program], None], program: Program) -> None:
    assert program.is_installed, "run make test-clients-all"
    talk(program)
