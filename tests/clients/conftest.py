"""The servers, and the table of what passed, after the tests; `--write-results` puts its lines into
docs/clients.md, and the versions into README.md. `--ray` has the servers be deployments on Ray.
"""

import re
from collections.abc import Callable, Iterator

import pytest

from tests.clients.programs import MODEL, ROOT, Program, Row
from tests.clients.scripted import NAME, scripted_server
from tests.clients.servers import Serve, starter
from tests.faults.process import ServerProcess

_PAGE = ROOT / "docs/clients.md"
_README = ROOT / "README.md"
_VERSIONS = re.compile(r"(?<=^\| clients: ).*(?= \| \[what each does\])", re.MULTILINE)
_PLACE = re.compile(r"(?<=<!-- clients -->\n).*?(?=<!-- end of clients -->)", re.DOTALL)


_ROWS = pytest.StashKey[list[Row]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of this folder."""
    parser.addoption("--ray", action="store_true", help="have the servers be deployments on Ray")
    parser.addoption(
        "--write-results", action="store_true", help="put the lines of the table into docs/clients.md"
    )


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
    lines = {f"| {row.name} |": f" {row.version} | {', '.join(row.passed)} |" for row in rows}
    others = [f"{row.name}: {', '.join(row.others)}" for row in rows if row.others]
    terminalreporter.write_line("\n".join(["", *map("".join, lines.items()), "", *others]))
    if config.getoption("--write-results") and exitstatus == pytest.ExitCode.OK:
        text = _PAGE.read_text(encoding="utf-8")
        (table,) = _PLACE.findall(text)
        # The lines of those that did not run stay.
        kept = {line[: line.index("|", 1) + 1]: line[line.index("|", 1) + 1 :] for line in table.splitlines()}
        kept |= lines
        written = "".join(f"{name}{rest}\n" for name, rest in kept.items())
        _PAGE.write_text(_PLACE.sub(lambda _: written, text), encoding="utf-8")
        _, _, *clients = (f"{name.strip('| ')} {rest.split('|')[0].strip()}" for name, rest in kept.items())
        readme = _VERSIONS.sub(lambda _: "; ".join(clients), _README.read_text(encoding="utf-8"))
        _README.write_text(readme, encoding="utf-8")


@pytest.fixture
def talk(request: pytest.FixtureRequest, rows: list[Row]) -> Callable[[Program], None]:
    """Let a client talk to the model that it is for, in a line of the table."""

    def talk(program: Program) -> None:
        if program.turns is None:
            program.converse(request.getfixturevalue("live_server").url, MODEL, rows)
        else:
            with scripted_server(program.turns) as url:
                program.converse(url, NAME, rows)

    return talk


@pytest.fixture(scope="session")
def rows(pytestconfig: pytest.Config) -> list[Row]:
    """The table, to which each client adds its line."""
    return pytestconfig.stash[_ROWS]


@pytest.fixture(scope="session")
def serve(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """What starts servers."""
    return starter(tmp_path_factory.mktemp("servers"), by_ray=pytestconfig.getoption("--ray"))


@pytest.fixture(scope="session")
def live_server(serve: Serve) -> Iterator[ServerProcess]:
    """The server that all clients talk to, with the model that ships."""
    with serve(threads=1) as server:
        yield server
