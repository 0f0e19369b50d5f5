"""Each way of searching ends at the best value of a task whose best value is known by construction."""

import json
import math

import pytest
from caravan.api.params import presets
from caravan.tune.records import Ending, State
from caravan.tune.report.write import write

from tests.tune.conftest import BEST_TEMPERATURE, SHARE, Study, likelihood_task, share_task

# Of "aaab", at the best temperature: three times log(3/4) and once log(1/4), for each token.
BEST_LIKELIHOOD = (3 * math.log(0.75) + math.log(0.25)) / 4
NUM_TRIALS = 17


@pytest.mark.parametrize("method", ["grid", "random", "bayesian"])
def test_likelihood_is_highest_where_it_must_be(study: Study, method: str) -> None:
    study.write(likelihood_task(method, trials=NUM_TRIALS))
    findings = study.find()
    assert findings.ending is Ending.DONE
    assert len(findings.complete) == NUM_TRIALS
    for record in findings.complete:
        chance = 1 / (1 + math.exp(-2 / record.parameters["temperature"]))
        expected = (3 * math.log(chance) + math.log(1 - chance)) / 4
        assert record.values[0] == pytest.approx(expected, abs=1e-3)
    winner = findings.winner
    assert winner is not None
    assert winner.values[0] == pytest.approx(BEST_LIKELIHOOD, abs=0.003)
    assert winner.parameters["temperature"] == pytest.approx(BEST_TEMPERATURE, abs=0.3)


@pytest.mark.parametrize("method", ["grid", "random", "bayesian"])
def test_what_is_drawn_is_best_within_the_noise(study: Study, method: str) -> None:
    """The winner's share of letters is the best one, 1, up to what 40 letters an answer scatter."""
    study.write(share_task(method, trials=9).replace("high = 4.5", "high = 4.5, points = 9"))
    (study.path.parent / "share.py").write_text(SHARE)
    findings = study.find()
    winner, held_out = findings.winner, findings.held_out
    assert winner is not None
    assert winner.parameters["temperature"] == pytest.approx(BEST_TEMPERATURE, abs=0.8)
    # An answer of 40 letters is off by 0.8 times its standard deviation on average, whatever is set.
    scatter = 0.8 * math.sqrt(0.75 * 0.25 / 40)
    assert winner.estimates[0].high >= 1 - scatter
    assert held_out is not None
    assert held_out.estimates(winner.number)[0].high >= 1 - scatter
    assert winner.number in held_out.finalists

    write(findings, study.folder)
    loaded = presets.load(study.folder / "presets.json")
    assert loaded["three-of-four"].temperature == winner.parameters["temperature"]
    told = json.loads((study.folder / "report.json").read_text())
    assert told["winner"] == winner.number
    assert {"history.png", "slices.png", "trials.csv", "report.md"} <= {
        path.name for path in study.folder.iterdir()
    }
    page = (study.folder / "report.md").read_text()
    assert f"## The winner: trial {winner.number}" in page
    answers = [json.loads(line) for line in (study.folder / "answers.jsonl").read_text().splitlines()]
    ended = [record for record in findings.records if record.state is State.COMPLETE]
    # The defaults and every trial; then defaults and three finalists again on what was held out.
    assert len(answers) == (1 + len(ended)) * 6 * 2 + 4 * 3 * 2
