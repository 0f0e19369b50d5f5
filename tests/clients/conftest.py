"""The table of what passed, after the tests; `--write-results` puts it into docs/clients.md."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.clients.programs import ROOT
from tests.faults.process import ServerProcess

_PAGE = ROOT / "docs/clients.md"
_PLACE = re.compile(r"(?<=<!-- clients -->\n).*?(?=<!-- end of clients -->)", re.DOTALL)


@dataclass
class Row:
    """A client's line of the table."""

    name: str
    version: str
    passed: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


_ROWS = pytest.StashKey[list[Row]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option of this folder."""
    parser.addoption("--write-results", action="store_true", help="put the table into docs/clients.md")


def pytest_configure(config: pytest.Config) -> None:
    """An empty table."""
    config.stash[_ROWS] = []


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """Print the table, and keep it if all is well and it was asked for."""
    rows = config.stash[_ROWS]
    if not rows:
        return
    lines = ["| client | version | passes |", "| --- | --- | --- |"]
    lines += [f"| {row.name} | {row.version} | {', '.join(row.passed)} |" for row in rows]
    others = [f"{row.name}: {', '.join(row.others)}" for row in rows if row.others]
    terminalreporter.write_line("\n".join(["", *lines, "", *others]))
    if config.getoption("--write-results") and exitstatus == pytest.ExitCode.OK:
        table = "\n".join(lines) + "\n"
        text, found = _PLACE.subn(lambda _: table, _PAGE.read_text(encoding="utf-8"))
        assert found == 1
        _PAGE.write_text(text, encoding="utf-8")


@pytest.fixture(scope="session")
def rows(pytestconfig: pytest.Config) -> list[Row]:
    """The table, to which each client adds its line."""
    return pytestconfig.stash[_ROWS]


@pytest.fixture(scope="session")
def live_server() -> Iterator[ServerProcess]:
    """The server that all clients talk to, with the model that ships."""
    server = ServerProcess("--threads", "1")
    yield server
    assert server.stop() == 0, server.output
