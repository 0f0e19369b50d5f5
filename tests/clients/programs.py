"""A client that talks to a live server: how it is run, and where its version stands."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.waiting import PATIENCE

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# Made by `make test-clients`. Clients want different releases of the package `openai`.
ENVIRONMENTS = ROOT / ".venv-clients"
# The model that ships.
MODEL = "caravan-resident"


@dataclass
class Row:
    """A client's line of the table."""

    name: str
    version: str
    passed: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Program:
    """A client. `environment` is the folder that it is installed in, `package` what names its version.

    `module` is its script: one of `node/` where it is there, else one of `scripts/`, in Python.
    `turns` are what a scripted model says to it (`tests.clients.scripted`); without them it talks to the
    model that ships.
    """

    name: str
    environment: str
    package: str
    module: str
    turns: Mapping[str, str] | None = None

    def command(self, url: str, model: str) -> list[str]:
        """What runs its conversation."""
        if (HERE / "node" / f"{self.module}.mjs").exists():
            return ["node", str(self.folder / f"{self.module}.mjs"), url, model]
        # What npm has installed is driven from here.
        python = str(self.python) if self.python.exists() else sys.executable
        return [python, "-m", f"tests.clients.scripts.{self.module}", url, model]

    @property
    def folder(self) -> Path:
        """Where it is installed."""
        return ENVIRONMENTS / self.environment

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return self.folder / "bin" / "python"

    @property
    def is_installed(self) -> bool:
        """Whether it can be run here; Node is not on every machine."""
        return (self.folder / ".installed").exists()

    def version(self) -> str:
        """The installed version."""
        package = self.folder / "node_modules" / self.package / "package.json"
        if package.exists():
            return str(json.loads(package.read_text())["version"])
        question = f"import importlib.metadata as m; print(m.version({self.package!r}))"
        return subprocess.run(
            [self.python, "-c", question], capture_output=True, text=True, check=True
        ).stdout.strip()

    def converse(self, url: str, model: str, rows: list[Row]) -> None:
        """Let it talk to a server, in a line of the table; raise AssertionError if a step of it fails."""
        row = Row(self.name, self.version())
        rows.append(row)
        found, printed = steps(self, url, model)
        row.passed = [name for outcome, name in found if outcome == "ok"]
        row.others = [f"{outcome} {name}" for outcome, name in found if outcome != "ok"]
        assert row.passed, printed
        assert not [name for outcome, name in found if outcome == "failed"], printed


def steps(program: Program, url: str, model: str) -> tuple[list[tuple[str, str]], str]:
    """The outcome and the name of each step of a conversation, and all that was printed."""
    run = subprocess.run(
        program.command(url, model),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=10 * PATIENCE,
        check=False,
    )
    printed = run.stdout + run.stderr
    lines = (line.partition(" ") for line in run.stdout.splitlines())
    found = [(word, rest) for word, _, rest in lines if word in ("ok", "failed", "skipped")]
    if run.returncode and not any(word == "failed" for word, _ in found):
        found.append(("failed", "to run"))
    return found, printed
