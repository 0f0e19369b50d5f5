"""What ends a search costs what was running, and nothing that was finished."""

import signal
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from caravan.tune.errors import TaskError
from caravan.tune.reading import read_task
from caravan.tune.records import Ending, Record, State
from caravan.tune.store import Store

from tests.tune.conftest import LETTERS, SHARE, Study, Watched, letters_task, likelihood_task, share_task
from tests.waiting import PATIENCE

NUM_POINTS = 11


def started(study: Study, url: str, shell: dict[str, str], *words: str) -> "subprocess.Popen[str]":
    command = ["tune", str(study.path), "--url", url, "--output", str(study.folder), *words]
    return subprocess.Popen(
        [sys.executable, "-m", "caravan", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=shell,
    )


def wait_for_trials(process: "subprocess.Popen[str]", count: int) -> dict[int, str]:
    """What it says of so many trials, by their numbers."""
    said: dict[int, str] = {}
    assert process.stdout is not None
    while len(said) < count:
        line = process.stdout.readline()
        assert line, process.stderr.read() if process.stderr else ""
        if line.startswith("trial "):
            name, _, rest = line.partition(": ")
            said[int(name.split()[1])] = rest.strip().removesuffix(" (the best so far)")
    return said


def told(record: Record) -> str:
    return f"temperature={record.parameters['temperature']}: log_likelihood {record.estimates[0]}"


@pytest.mark.parametrize("method", ["grid", "random", "bayesian"])
def test_what_is_killed_loses_no_finished_trial(
    study: Study, url: str, shell: dict[str, str], method: str
) -> None:
    study.write(likelihood_task(method, trials=NUM_POINTS).replace("points = 17", f"points = {NUM_POINTS}"))
    said: dict[int, str] = {}
    for words in ((), ("--resume",)):
        with started(study, url, shell, *words) as process:
            said |= wait_for_trials(process, 3)
            process.kill()
    assert len(said) >= 6
    findings = study.find()
    assert findings.ending is Ending.DONE
    assert len(findings.complete) == NUM_POINTS
    by_number = {record.number: record for record in findings.complete}
    assert {number: told(by_number[number]) for number in said} == said
    cut = [record for record in findings.records if record.state is State.UNFINISHED]
    assert len(cut) <= 2
    # A grid is whole, and a sampler says nothing again that it said before.
    assert len({record.parameters["temperature"] for record in findings.complete}) == NUM_POINTS


@pytest.mark.parametrize("method", ["grid", "random", "bayesian"])
def test_a_trial_cut_before_anything_was_chosen_costs_nothing(study: Study, method: str) -> None:
    study.write(likelihood_task(method, trials=2).replace("points = 17", "points = 4"))
    study.find()
    kept = Store(study.folder, read_task(study.path), "steady").study
    kept.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING))
    study.write(likelihood_task(method, trials=4).replace("points = 17", "points = 4"))
    findings = study.find()
    assert findings.ending is Ending.DONE
    assert len(findings.complete) == 4
    assert len({record.parameters["temperature"] for record in findings.complete}) == 4


def test_ctrl_c_keeps_what_is_known_and_resume_goes_on(study: Study, url: str, shell: dict[str, str]) -> None:
    study.write(likelihood_task("random", trials=500))
    with started(study, url, shell) as process:
        said = wait_for_trials(process, 3)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, errors
    assert "it was interrupted; the report is" in output
    assert "Traceback" not in errors
    assert "it was interrupted" in (study.folder / "report.md").read_text()
    study.write(likelihood_task("random", trials=len(said) + 4))
    findings = study.find()
    assert len(findings.complete) >= len(said) + 4
    assert {number: told(findings.records[number]) for number in said} == said


def test_a_study_goes_on_with_its_own_task_alone(study: Study) -> None:
    study.write(likelihood_task("random", trials=2))
    study.find()
    study.write(likelihood_task("random", trials=2).replace("low = 0.5", "low = 0.6"))
    with pytest.raises(TaskError, match="another 'space'"):
        study.find()
    study.write(likelihood_task("bayesian", trials=4))
    watched = Watched()
    assert len(study.find(watched).complete) == 4
    assert [record.number for record in watched.records] == [2, 3]


def test_a_budget_of_requests_is_kept_with_what_held_out_prompts_take(study: Study) -> None:
    (study.path.parent / "share.py").write_text(SHARE)
    study.write(share_task("random", trials=50, seed=3) + "\n[budget]\nrequests = 80\n")
    findings = study.find()
    assert findings.ending is Ending.BUDGET
    # 12 for the defaults and for each trial, 6 for the defaults and each of three finalists afterwards.
    assert findings.num_requests == 12 + 3 * 12 + 4 * 6
    assert findings.held_out is not None
    assert len(findings.held_out.finalists) == 3


def test_a_budget_has_room_for_a_whole_front(study: Study) -> None:
    (study.path.parent / "letters.py").write_text(LETTERS)
    task = letters_task("random", trials=50)
    study.write(f"{task}\n[budget]\nrequests = 160\n")
    findings = study.find()
    assert findings.ending is Ending.BUDGET
    assert findings.held_out is not None
    assert len(findings.held_out.finalists) > 3
    assert findings.num_requests <= 160


def test_a_budget_of_minutes_ends_a_trial_that_is_done_again_later(study: Study) -> None:
    study.write(likelihood_task("random", trials=10) + "\n[budget]\nminutes = 0.0001\n")
    findings = study.find()
    assert findings.ending is Ending.BUDGET
    assert not findings.complete
    assert findings.winner is None
    study.write(likelihood_task("random", trials=2))
    assert len(study.find().complete) == 2


def test_the_database_is_in_the_folder(study: Study) -> None:
    study.write(likelihood_task("random", trials=1))
    study.find()
    assert Path(study.folder / "study.db").stat().st_size > 0
