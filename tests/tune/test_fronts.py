"""Several objectives, trials that are ended early, and what the report draws of them."""

import json
from itertools import pairwise

from caravan.api.params import presets
from caravan.tune.records import Findings, Record, State
from caravan.tune.report.write import write

from tests.tune.conftest import LETTERS, SHARE, Study, letters_task, share_task

PNG = b"\x89PNG"


def is_dominated(record: Record, findings: Findings) -> bool:
    """By the definition, all objectives being maximized."""
    return any(
        all(theirs >= mine for mine, theirs in zip(record.values, other.values, strict=True))
        and other.values != record.values
        for other in findings.complete
    )


def test_the_front_is_what_no_trial_is_better_than_in_everything(study: Study) -> None:
    (study.path.parent / "letters.py").write_text(LETTERS)
    task = letters_task("bayesian", trials=13)
    study.write(task.replace("[space]", "[space]\nrepeat_penalty = { choices = [1.0, 1.05] }"))
    findings = study.find()
    wanted = {tuple(record.values) for record in findings.complete if not is_dominated(record, findings)}
    assert sorted(tuple(record.values) for record in findings.front) == sorted(wanted)
    assert len(wanted) > 2
    assert all(one.values[0] >= other.values[0] for one, other in pairwise(findings.front))
    assert findings.winner in findings.front
    assert [set(shares) for shares in findings.importances] == [{"temperature", "repeat_penalty"}] * 2

    write(findings, study.folder)
    loaded = presets.load(study.folder / "presets.json")
    names = {"three-of-four", *(f"three-of-four-{index}" for index in range(1, len(wanted)))}
    assert names <= loaded.keys()
    for name in ("history.png", "slices.png", "importance.png", "pareto.png"):
        assert (study.folder / name).read_bytes().startswith(PNG)
    document = json.loads((study.folder / "report.json").read_text())
    assert document["front"] == [record.number for record in findings.front]
    lines = (study.folder / "trials.csv").read_text().splitlines()
    assert len(lines) == 2 + 13
    assert lines[1].startswith("defaults,complete,")


def test_a_trial_that_is_clearly_worse_is_ended_early(study: Study) -> None:
    """Of a grid in any order, what is far off ends before all of its prompts are asked."""
    (study.path.parent / "share.py").write_text(SHARE)
    task = share_task("grid", pruning="true").replace("high = 4.5", "high = 80.5, points = 17, log = true")
    study.write(task)
    findings = study.find()
    pruned = [record for record in findings.records if record.state is State.PRUNED]
    assert pruned
    assert len(pruned) + len(findings.complete) == 17
    # Each would have taken 12, and the held-out prompts take 24 in all.
    assert findings.num_requests < 12 * 18 + 24
