"""Conversations of real clients that install quickly with a live server: `make test-clients`.

Not collected with the other tests, since the clients live in environments of their own.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from caravan.models.resident import model_path

from tests.clients.programs import HERE, MODEL, ROOT, Program, Row, steps
from tests.clients.quick import PROGRAMS, SEEING
from tests.clients.servers import Serve
from tests.faults.process import ServerProcess
from tests.tiny_projector import write_tiny_pair
from tests.waiting import PATIENCE


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_a_client_has_its_conversation(talk: Callable[[Program], None], program: Program) -> None:
    if not program.is_installed:
        assert program.environment == "node", "run make test-clients"
        pytest.skip(f"{program.name} is not installed in {program.folder.relative_to(ROOT)}")
    talk(program)


@pytest.fixture(scope="module")
def seeing_server(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Generator[ServerProcess]:
    """A server whose model sees; a projector that lies beside a model is its own."""
    model, _ = write_tiny_pair(tmp_path_factory.mktemp("sees"), "llava")
    with serve(model=str(model), model_id="sees", threads=1) as server:
        yield server


@pytest.mark.parametrize("program", SEEING, ids=lambda program: program.name)
def test_a_client_sends_images(seeing_server: ServerProcess, rows: list[Row], program: Program) -> None:
    found, printed = steps(program, seeing_server.url, "sees")
    assert found, printed
    assert all(outcome == "ok" for outcome, _ in found), printed
    for row in rows:
        if row.name == program.name:
            row.passed += [name for _, name in found]


def test_lm_evaluation_harness_finds_the_models_own_numbers(
    live_server: ServerProcess, rows: list[Row], tmp_path: Path
) -> None:
    environment = Program(name="lm-evaluation-harness", environment="openai-3", package="lm-eval", module="")
    row = Row(environment.name, environment.version())
    rows.append(row)
    scores = tmp_path / "scores.json"
    subprocess.run([sys.executable, "-m", "tests.clients.lm_eval.expected", scores], cwd=ROOT, check=True)
    script = HERE / "lm_eval" / "run.py"
    found = subprocess.run(
        [environment.python, script, live_server.url, MODEL, model_path(), "--scores", scores],
        capture_output=True,
        text=True,
        timeout=10 * PATIENCE,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    row.passed = ["multiple choice by echo and logprobs"]


def test_curl_is_answered(live_server: ServerProcess, rows: list[Row]) -> None:
    script = ROOT / "deploy" / "smoke.sh"
    if shutil.which("curl") is None or not script.exists():
        pytest.skip("there is no curl, or no script for it")
    version = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True).stdout
    row = Row("curl, `deploy/smoke.sh`", version.split()[1])
    rows.append(row)
    address = live_server.address
    found = subprocess.run([script, address], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    row.passed = re.findall(r"^ok +(.+)$", found.stdout, re.MULTILINE)
