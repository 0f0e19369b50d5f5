"""The example of docs/tune.md, run with the model that ships and fewer trials, and with its judge."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from caravan.tune.errors import TaskError
from caravan.tune.reading import read_task

from tests.faults.process import ServerProcess
from tests.resident.pages import ADDRESS, ROOT, blocks
from tests.waiting import PATIENCE

PAGE = ROOT / "docs" / "tune.md"
TASK, JUDGE = (block.text for block in blocks("toml") if block.page == PAGE)
COMMANDS = [
    command
    for block in blocks("sh")
    if block.page == PAGE
    for command in block.commands()
    if command.startswith("caravan tune")
]


def shortened(num_trials: int) -> str:
    """The task with fewer trials than it takes to learn something."""
    assert "trials = 40" in TASK
    return TASK.replace("trials = 40", f"trials = {num_trials}")


def run(command: str, folder: Path) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_example_works(tmp_path: Path) -> None:
    """By a server of its own: all files that the page lists are there, and each trial is a line."""
    (tmp_path / "stories.toml").write_text(shortened(8), encoding="utf-8")
    printed = run(COMMANDS[0], tmp_path)
    trials = [line for line in printed.splitlines() if line.startswith("trial ")]
    assert len(trials) == read_task(tmp_path / "stories.toml").search.trials
    assert all("on the subject" in line and "variety" in line for line in trials)
    made = {path.name for path in (tmp_path / "stories-tuned").iterdir()}
    assert made >= {"report.md", "presets.json", "pareto.png", "trials.csv", "answers.jsonl", "study.db"}
    page = PAGE.read_text(encoding="utf-8")
    assert not [name for name in made if f"`{name}`" not in page]


def test_the_judge_of_the_page_decides_on_a_server_that_runs(
    tmp_path: Path, live_server: ServerProcess
) -> None:
    """Its score is a probability, and each answer has one."""
    (tmp_path / "stories.toml").write_text(f"{shortened(2)}\n{JUDGE}", encoding="utf-8")
    run(COMMANDS[1].replace(ADDRESS, live_server.address), tmp_path)
    lines = (tmp_path / "stories-again" / "answers.jsonl").read_text().splitlines()
    judged = [json.loads(line)["scores"]["a story"] for line in lines]
    assert len(set(judged)) > 3
    assert all(0 < value < 1 for value in judged)


def test_the_fault_that_is_shown_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "stories.toml"
    path.write_text(TASK.replace("temperature", "temprature"), encoding="utf-8")
    with pytest.raises(TaskError) as caught:
        read_task(path)
    shown = str(caught.value).replace(str(path), "stories.toml")
    assert f"caravan: {shown}" in PAGE.read_text(encoding="utf-8")
