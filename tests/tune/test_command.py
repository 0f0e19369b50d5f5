"""The command as it is typed: with a server of its own, with wrong words, without its packages."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.calling import call
from tests.tune.conftest import likelihood_task
from tests.waiting import PATIENCE

TASK = likelihood_task("grid").replace("points = 17", "points = 3")


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "short.toml"
    path.write_text(TASK, encoding="utf-8")
    return path


def test_it_serves_the_model_itself(task: Path, steady_model: Path, shell: dict[str, str]) -> None:
    """And writes beside where it was called."""
    task.write_text(f'model = "{steady_model}"\n{TASK}', encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-m", "caravan", "tune", "short.toml"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=shell,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    lines = ended.stdout.splitlines()
    assert [line.startswith("trial ") for line in lines] == [True, True, True, False, False]
    assert lines[3] == "all trials are done; the report is short-tuned/report.md"
    assert lines[4].startswith("the winner is trial ")
    assert lines[4].endswith(': "temperature": 2.5')
    presets = json.loads(Path("short-tuned/presets.json").read_text())
    assert presets == {"three-of-four": {"temperature": 2.5}}


def test_a_study_is_not_overwritten(task: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    call("tune", str(task), "--url", url)
    call("tune", str(task), "--url", url, code=2)
    assert "short-tuned has a study already: --resume goes on with it" in capsys.readouterr().err
    call("tune", str(task), "--url", url, "--resume")
    call("tune", str(task), "--url", url, "--resume", "--output", "another", code=2)
    assert "there is no study in another to resume" in capsys.readouterr().err


def test_a_wrong_task_is_told_line_by_line(task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task.write_text(TASK.replace("temperature", "temprature").replace("grid", "gird"), encoding="utf-8")
    call("tune", str(task), code=2)
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"caravan: {task}:14: search.method: input should be 'grid', 'random' or 'bayesian'"
    call("tune", "nothing.toml", code=2)
    assert "nothing.toml cannot be read: No such file" in capsys.readouterr().err


def test_a_server_that_is_not_there_is_told(task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call("tune", str(task), "--url", "http://127.0.0.1:1", code=1)
    assert "cannot be reached" in capsys.readouterr().err


def test_packages_that_are_missing_are_named_with_the_way_to_get_them(
    task: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "optuna" else find(name))
    call("tune", str(task), code=1)
    told = capsys.readouterr().err
    assert told.startswith("caravan: caravan tune needs optuna: pip install 'llama-caravan[tune]'")


def test_help_shows_how_to_install(capsys: pytest.CaptureFixture[str]) -> None:
    call("tune", "--help")
    assert "llama-caravan[tune]" in capsys.readouterr().out
