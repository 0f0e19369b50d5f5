"""What the README and the pages of docs/ show, run as it stands."""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from caravan.cli.commands import keys
from caravan.config.load import read_configuration
from caravan.config.settings import Settings
from caravan.runtime.machine import usable_cores

from tests.faults.process import ServerProcess, server_process
from tests.resident.pages import ADDRESS, LANGUAGES, NOT_RUN, PAGES, ROOT, Block, blocks, looks_like, why_not
from tests.waiting import PATIENCE

COMMANDS = [(block, command) for block in blocks("sh") for command in block.commands()]
RUN = [command for _, command in COMMANDS if why_not(command) is None]
# Pages whose TOML are tasks for `caravan tune`, which test_tune_page.py reads.
TASKS = {"tune.md"}
# Pages whose examples ask a model that sees; tests/e2e/test_images.py runs them.
SEEING = {"images.md"}
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def at(text: str, server: ServerProcess) -> str:
    """An example, aimed at the server of the tests."""
    assert ADDRESS in text
    return text.replace(ADDRESS, server.address)


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    assert {block.language for block in blocks()} == LANGUAGES
    assert len(RUN) >= 10
    unknown = [command for command in RUN if not command.startswith("curl ")]
    assert not unknown, "run it, or say in NOT_RUN why not"


def test_what_is_not_run_is_shown() -> None:
    assert {why_not(command) for _, command in COMMANDS} - {None} == set(NOT_RUN)


@pytest.mark.parametrize("text", RUN, ids=lambda text: str(RUN.index(text)))
def test_a_curl_line_works(live_server: ServerProcess, text: str) -> None:
    command = at(text, live_server).replace("curl ", "curl --fail-with-body --silent ", 1)
    answer = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    if '"stream": true' in text:
        assert answer.stdout.endswith("data: [DONE]\n\n")
    else:
        assert json.loads(answer.stdout)


@pytest.mark.parametrize(
    "block", [block for block in blocks("python") if block.page.name not in SEEING], ids=str
)
def test_a_python_example_works(live_server: ServerProcess, block: Block) -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        names: dict[str, object] = {}
        exec(compile(at(block.text, live_server), str(block.page), "exec"), names)
    client = names["client"]
    assert len(printed.getvalue()) > 20
    client.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_json_is_json(block: Block) -> None:
    """One value, or one a line."""
    texts = [block.text] if block.text.startswith("{\n") else block.text.splitlines()
    assert [json.loads(text) for text in texts]


@pytest.mark.parametrize(
    "block", [block for block in blocks("toml") if block.page.name not in TASKS], ids=str
)
def test_toml_is_a_configuration(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "caravan.toml"
    path.write_text(block.text, encoding="utf-8")
    monkeypatch.setenv("CARAVAN_CONFIG", str(path))
    assert set(read_configuration({}).origins) >= set(tomllib.loads(block.text))


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServerProcess, dict[str, str]]]:
    """A server with an administrator's key, and the variables of a shell beside it."""
    data = tmp_path_factory.mktemp("data")
    shell = os.environ | {"CARAVAN_DATA_DIR": str(data), "COLUMNS": "200", "PATH": PATH}
    key = subprocess.run(
        [sys.executable, "-m", "caravan", "keys", "add", "root", "--admin"],
        env=shell,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    with server_process("--threads", "1", env={"CARAVAN_DATA_DIR": str(data)}) as server:
        yield server, shell | {"ADMIN_KEY": key}


def test_sessions_print_what_is_shown(keyed: tuple[ServerProcess, dict[str, str]]) -> None:
    """All in one shell, in their order, since later ones use what earlier ones made."""
    server, shell = keyed
    sessions = [step for block in blocks("console") for step in block.session()]
    assert sessions
    mark = "--- end of a command ---"
    script = "\n".join(
        f"{{ {command.replace(ADDRESS, server.address)}\n}} 2>&1; echo; echo '{mark}'"
        for command, _ in sessions
    )
    run = subprocess.run(
        ["bash", "-c", script], env=shell, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    outputs = run.stdout.split(mark)
    assert len(outputs) == len(sessions) + 1, run.stderr
    for (command, shown), output in zip(sessions, outputs, strict=False):
        if "--threads 9" in command and usable_cores() >= 9:
            continue
        by_label = command.startswith("caravan doctor")
        for line in shown:
            assert any(looks_like(line, printed, by_label=by_label) for printed in output.splitlines()), (
                f"{command}: {line} is not in\n{output}"
            )


def test_flags_that_are_named_are_options() -> None:
    options = {name.replace("_", "-") for name in Settings.model_fields}
    switches = {
        name.replace("_", "-") for name, field in Settings.model_fields.items() if field.annotation is bool
    }
    known = {f"--{name}" for name in options} | {f"--no-{name}" for name in switches} | _flags_of_commands()
    for page in PAGES:
        text = "\n".join(re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8")))
        # What comes after `ARGS=` is for what a command of make runs.
        named = set(re.findall(r"(?<![\w=-])--[a-z][a-z-]+", text))
        assert named <= known, (page.name, named - known)


def test_verbs_of_make_that_are_named_are_there() -> None:
    verbs = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE))
        assert named <= verbs, (page.name, named - verbs)


def _flags_of_commands() -> set[str]:
    """Flags that are no options of `serve`: of other commands, and of programs that pages speak of."""
    group = typer.main.get_command(keys.app)
    assert isinstance(group, typer.core.TyperGroup)
    of_keys = {flag for command in group.commands.values() for param in command.params for flag in param.opts}
    others = "\n".join(path.read_text() for path in (ROOT / "server/caravan/cli/commands").glob("*.py"))
    return of_keys | set(re.findall(r"--[a-z][a-z-]+", others)) | {"--write-results", "--all", "--help"}
