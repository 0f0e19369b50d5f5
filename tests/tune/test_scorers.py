"""What each scorer that looks at the text alone says of texts."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from caravan.tune.client import Answer
from caravan.tune.errors import TaskError, TrialError
from caravan.tune.scorers.function import imported
from caravan.tune.scorers.make import scorers_of
from caravan.tune.scorers.scorer import Case
from caravan.tune.scorers.text import distinct
from caravan.tune.task import Prompt, Task


def task_of(**objective: Any) -> Task:  # noqa: ANN401 (what TOML has)
    return Task.model_validate(
        {
            "prompts": [{"prompt": "?"}],
            "objectives": [objective],
            "space": {"temperature": {"choices": [0.0]}},
        }
    )


def scores(texts: list[str], references: list[str], **objective: Any) -> list[float]:  # noqa: ANN401 (what TOML has)
    (scorer,) = scorers_of(task_of(**objective), Path())
    answers = [Answer(text, "stop", 10, len(text.split()), 0.5) for text in texts]
    case = Case(Prompt(prompt="?", references=references), {}, answers)
    # None of these asks a server.
    return asyncio.run(scorer.score(None, case))  # type: ignore[arg-type]


SCHEMA = {"type": "object", "required": ["a"]}


@pytest.mark.parametrize(
    ("objective", "texts", "references", "expected"),
    [
        ({"scorer": "exact"}, [" Yes\n", "yes", "Yes."], ["Yes", "No"], [1, 0, 0]),
        ({"scorer": "exact", "ignore_case": True}, ["yes", "NO", "maybe"], ["Yes", "No"], [1, 1, 0]),
        ({"scorer": "contains"}, ["a cat", "a Cat", "dog and cat"], ["cat"], [1, 0, 1]),
        ({"scorer": "contains", "all": True}, ["cat dog", "cat"], ["cat", "dog"], [1, 0]),
        ({"scorer": "contains", "ignore_case": True}, ["STRASSE"], ["straße"], [1]),
        ({"scorer": "regex", "pattern": r"^\d+$"}, ["42", "x 42"], [], [1, 0]),
        ({"scorer": "regex"}, ["42", "x"], [r"\d", "y"], [1, 0]),
        ({"scorer": "json_schema", "schema": SCHEMA}, ['{"a": 1}', "{}", "no JSON", "[]"], [], [1, 0, 0, 0]),
        ({"scorer": "distinct"}, ["a b a b", "a b c", "one", ""], [], [2 / 3, 1, 0, 0]),
        ({"scorer": "distinct", "n": 1, "over": "repeats"}, ["a b", "b c"], [], [3 / 4]),
        ({"scorer": "length"}, ["a b", "c"], [], [2, 1]),
        ({"scorer": "length", "unit": "characters"}, ["a b"], [], [3]),
        ({"scorer": "length", "unit": "words"}, ["a  b"], [], [2]),
        ({"scorer": "cost"}, ["a b"], [], [12]),
        ({"scorer": "cost", "unit": "seconds"}, ["a b"], [], [0.5]),
    ],
)
def test_texts_are_scored(
    objective: dict[str, Any], texts: list[str], references: list[str], expected: list[float]
) -> None:
    assert scores(texts, references, **objective) == pytest.approx(expected)


def test_lengths_and_costs_are_to_be_small() -> None:
    assert task_of(scorer="length").objectives[0].direction == "minimize"
    assert task_of(scorer="length", direction="maximize").objectives[0].direction == "maximize"
    assert task_of(scorer="exact").objectives[0].direction == "maximize"


def test_sequences_do_not_cross_the_ends_of_answers() -> None:
    assert distinct(["a b", "a b"], 2) == 0.5
    assert distinct(["a", "b"], 2) == 0


@pytest.mark.parametrize(
    ("objective", "told"),
    [
        ({"scorer": "regex", "pattern": "("}, "objectives.0.pattern: "),
        (
            {"scorer": "json_schema", "schema": {"type": "nothing"}},
            "objectives.0.schema: 'nothing' is not valid",
        ),
        (
            {"scorer": "function", "function": "nowhere:f"},
            "nowhere:f cannot be imported: ModuleNotFoundError",
        ),
    ],
)
def test_what_cannot_be_made_is_told_before_the_search(objective: dict[str, Any], told: str) -> None:
    with pytest.raises(TaskError, match=re.escape(told)):
        scorers_of(task_of(**objective), Path())


def test_a_function_is_taken_from_the_tasks_folder(tmp_path: Path) -> None:
    (tmp_path / "of_this_task.py").write_text(
        "def count(text, references):\n    return len(text)\nlevel = 3\n"
    )
    with pytest.raises(TaskError, match="is no function"):
        imported("of_this_task:level", tmp_path)
    scorer = imported("of_this_task:count", tmp_path)
    case = Case(Prompt(prompt="?"), {}, [Answer("abc", None, 1, 1, 0.1)])
    assert asyncio.run(scorer.score(None, case)) == [3]  # type: ignore[arg-type]
    (tmp_path / "of_that_task.py").write_text("def wrong(text, references):\n    return float('nan')\n")
    with pytest.raises(TrialError, match="has to return a finite number, and returned nan"):
        asyncio.run(imported("of_that_task:wrong", tmp_path).score(None, case))  # type: ignore[arg-type]
