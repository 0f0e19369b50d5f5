"""Each fault of a task's file is told with its line and the key, all of them at once."""

from pathlib import Path

import pytest
from caravan.tune.errors import TaskError
from caravan.tune.reading import read_task
from caravan.tune.search import split
from caravan.tune.space import Dimension
from caravan.tune.toml_lines import line_of

TASK = """\
model = "m"
prompts = ["one", { prompt = "two", references = ["2"] }]

[[objectives]]
scorer = "distinct"

[space]
temperature = { low = 0, high = 1.5 }

[search]
trials = 5
"""


def read(folder: Path, text: str) -> TaskError:
    path = folder / "task.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TaskError) as caught:
        read_task(path)
    return caught.value


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "temperature",
            "temprature",
            ":8: space.temprature: there is no decoding parameter of this name; did",
        ),
        ("high = 1.5", "high = 101", ":8: space.temperature: cannot be 101: Input should be less"),
        ("high = 1.5", "high = -1", ":8: space.temperature: 'low' must be less than 'high'"),
        ("low = 0,", "", ":8: space.temperature: needs 'low' and 'high', or 'choices'"),
        ("low = 0,", "low = 0, log = true,", ":8: space.temperature: 'log' needs a 'low' above 0"),
        (
            "temperature = { low = 0, high = 1.5 }",
            "top_k = { low = 1, high = 2.5 }",
            ":8: space.top_k: takes whole",
        ),
        (
            "temperature = { low = 0, high = 1.5 }",
            "top_k = { choices = [1, 1] }",
            ":8: space.top_k: 'choices' has",
        ),
        (
            "temperature = { low = 0, high = 1.5 }",
            "stop = { low = 0, high = 1 }",
            ":8: space.stop: has no range",
        ),
        (
            "high = 1.5",
            "high = 1.5, step = 1e-9",
            ":8: space.temperature: 'step' makes more than 100000 values",
        ),
        (
            "trials = 5",
            'method = "grid"\n[space.top_p]\nlow = 0.1\nhigh = 1.0\npoints = 400\n[space.min_p]\n'
            "low = 0.0\nhigh = 1.0\npoints = 300",
            ":11: search.method: a grid has at most 100000 combinations, and these are 600000",
        ),
        (
            "[space]",
            "[space]\ntyp_p = { choices = [1.0] }\ntypical = { choices = [1.0] }",
            "another name of 'typ_p'",
        ),
        ("trials = 5", "trial = 5", ":11: search.trial: there is no such key; did you mean 'trials'?"),
        ("trials = 5", "trials = 0", ":11: search.trials: input should be greater than or equal to 1"),
        (
            "trials = 5",
            'method = "best"',
            ":11: search.method: input should be 'grid', 'random' or 'bayesian'",
        ),
        ("distinct", "distant", ":4: objectives.0: input tag 'distant'"),
        ('"distinct"', '"distinct"\nn = 0', ":6: objectives.0.n: input should be greater"),
        (
            '"distinct"',
            '"exact"',
            ":2: prompts.0: 'exact' needs 'references', and this prompt has none: 'one'",
        ),
        (
            "[space]",
            "[request]\nmax_token = 3\n[space]",
            ":8: request.max_token: there is no such field of a",
        ),
        (
            "[space]",
            "[request]\nseed = 3\n[space]",
            ":8: request.seed: is set for each repeat, and cannot be here",
        ),
        ("[space]", "[request]\ntemperature = 1\n[space]", ":10: space.temperature: is in 'request', too"),
        ('model = "m"', 'models = "m"', ":1: models: there is no such key; did you mean 'model'?"),
        ('model = "m"', 'prompts_file = "none.txt"', ":1: prompts_file: "),
        ('model = "m"', 'model = "m', "cannot be read: Illegal character"),
        ('["one",', '[{ messages = [{ role = "user" }] },', ":2: prompts.0"),
    ],
)
def test_a_fault_is_told_with_its_line(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in TASK
    assert told in str(read(tmp_path, TASK.replace(old, new, 1)))


def test_references_that_are_to_be_patterns_are_some(tmp_path: Path) -> None:
    prompts = '[{ prompt = "one", references = ["(("] }, { prompt = "two", references = ["2", "[3"] }]'
    lines = TASK.replace('"distinct"', '"regex"').splitlines()
    told = str(read(tmp_path, "\n".join([lines[0], f"prompts = {prompts}", *lines[2:]]))).splitlines()
    assert len(told) == 2
    assert ":2: prompts.0.references: '((' is no pattern: missing )" in told[0]
    assert ":2: prompts.1.references: '[3' is no pattern: unterminated" in told[1]


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    text = TASK.replace("temperature", "temprature").replace(
        "[space]", "[request]\nn = 2\n[space]\ntop_q = {choices=[1]}"
    )
    lines = str(read(tmp_path, text)).splitlines()
    assert len(lines) == 3
    assert all(line.startswith(f"{tmp_path / 'task.toml'}:") for line in lines)


def test_pruning_needs_one_objective_that_scores_answers(tmp_path: Path) -> None:
    prunes = TASK.replace("trials = 5", "pruning = true")
    second = '[[objectives]]\nscorer = "length"\n\n[space]'
    assert "where there is one objective" in str(read(tmp_path, prunes.replace("[space]", second)))
    together = prunes.replace('"distinct"', '"distinct"\nover = "repeats"')
    assert "scores each answer by itself" in str(read(tmp_path, together))
    same = TASK.replace("[space]", '[[objectives]]\nscorer = "distinct"\nn = 1\n[space]')
    assert "two objectives are called 'distinct'" in str(read(tmp_path, same))


def test_prompts_come_from_files(tmp_path: Path) -> None:
    path = tmp_path / "task.toml"
    path.write_text(TASK.replace("prompts = ", 'prompts_file = "more.jsonl"\nprompts = '))
    more = tmp_path / "more.jsonl"
    more.write_text('"three"\n\n{"messages": [{"role": "user", "content": "four"}], "references": ["4"]}\n')
    assert [prompt.text for prompt in read_task(path).prompts] == ["one", "two", "three", "four"]
    more.write_text('"three"\n{"prompt": 4}\n')
    assert f"{more}:2: prompt: " in str(read(tmp_path, path.read_text()))
    more.write_text("{\n")
    assert f"{more}:1: this is no JSON" in str(read(tmp_path, path.read_text()))
    path.write_text(path.read_text().replace("more.jsonl", "more.txt"))
    (tmp_path / "more.txt").write_text("five\nsix\n")
    assert [prompt.text for prompt in read_task(path).prompts] == ["one", "two", "five", "six"]
    # Only a line end ends a line.
    (tmp_path / "more.txt").write_bytes("five\u2028and\x85six\r\nseven".encode())
    assert [prompt.text for prompt in read_task(path).prompts[2:]] == ["five\u2028and\x85six", "seven"]


def test_the_split_leaves_nothing_out_and_is_always_the_same(tmp_path: Path) -> None:
    path = tmp_path / "task.toml"
    numbers = ", ".join(f'"{number}"' for number in range(8))
    path.write_text(TASK.replace('["one",', f"[{numbers},"))
    task = read_task(path)
    prompts, held_out = split(task)
    assert len(held_out) == 3
    assert sorted(prompt.text for prompt in prompts + held_out) == sorted(
        prompt.text for prompt in task.prompts
    )
    assert split(task) == (prompts, held_out)
    assert split(task.model_copy(update={"held_out": 0.0}))[1] == []


@pytest.mark.parametrize(
    ("fields", "is_whole", "values"),
    [
        ({"low": 0, "high": 1, "step": 0.25}, False, [0, 0.25, 0.5, 0.75, 1]),
        ({"low": 0.0, "high": 1.0, "step": 0.3}, False, [0, 0.3, 0.6, 0.9]),
        ({"low": 0.1, "high": 10.0, "log": True, "points": 3}, False, [0.1, 1, 10]),
        ({"low": 1, "high": 4, "points": 9}, True, [1, 2, 3, 4]),
        ({"choices": [[1], None, "a"]}, False, [[1], None, "a"]),
    ],
)
def test_a_grid_has_the_values_of_each_dimension(
    fields: dict[str, object], is_whole: bool, values: list[object]
) -> None:
    assert Dimension.model_validate(fields).values(is_whole=is_whole) == values


def test_lines_are_found_by_headers_and_keys() -> None:
    text = 'a.b = 1\n[x]\n"y" = 2\n[[z]]\nk = 1\n[[z]]\nk = 2\n[z.deep]\nq = 1\n'
    places = {("a", "b"): 1, ("x",): 2, ("x", "y"): 3, ("z", 0, "k"): 5, ("z", 1): 6, ("z", 1, "k"): 7}
    assert {path: line_of(text, path) for path in places} == places
    assert line_of(text, ("z", 1, "deep", "q", 0)) == 9
    assert line_of(text, ("nothing",)) is None
    assert line_of('a = "\u2028"\nb = 1\n', ("b",)) == 2
