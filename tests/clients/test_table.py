"""The table of clients: its versions are those that are installed, and the README has the same."""

import json
import re

from tests.clients.agents import AGENTS
from tests.clients.programs import HERE, ROOT, Program
from tests.clients.quick import PROGRAMS


def table() -> dict[str, str]:
    """Versions by the names of clients."""
    page = (ROOT / "docs/clients.md").read_text(encoding="utf-8")
    rows = page.split("<!-- clients -->\n")[1].split("<!-- end of clients -->")[0].splitlines()[2:]
    return {name: version for name, version, _ in (row.strip("| ").split(" | ") for row in rows)}


def pinned(program: Program) -> str | None:
    """The version of a client that `make` installs."""
    file = HERE / "requirements" / program.environment
    if file.with_suffix(".json").exists():
        return str(json.loads(file.with_suffix(".json").read_text())["dependencies"][program.package])
    found = re.search(
        rf"^{re.escape(program.package)}==(\S+)", file.with_suffix(".txt").read_text(), re.MULTILINE
    )
    return found and found[1]


def test_it_has_every_client_in_the_version_that_is_installed() -> None:
    shown = table()
    assert {each.name: pinned(each) for each in (*PROGRAMS, *AGENTS)}.items() <= shown.items()


def test_the_readme_has_all_of_them() -> None:
    found = re.search(
        r"^\| clients: (.*) \| \[what each does\]", (ROOT / "README.md").read_text(), re.MULTILINE
    )
    assert found is not None
    assert found[1].split("; ") == [f"{name} {version}" for name, version in table().items()]
