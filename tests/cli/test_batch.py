"""`caravan batch run`: at a server that runs, and with one of its own that is killed in between."""

import json
from pathlib import Path
from typing import Any

import pytest
from caravan.config.settings import Settings

from tests.cli.calling import call
from tests.fakes_web import ScriptedEngine, loaded_model, registry_over
from tests.live_server import live_server

URL = "/v1/completions"


def write(path: Path, count: int, **fields: Any) -> None:  # noqa: ANN401
    body = {"model": "", "prompt": "Once", "max_tokens": 8, **fields}
    lines = [{"custom_id": f"r{n}", "method": "POST", "url": URL, "body": body} for n in range(count)]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")


def ids(path: Path) -> list[str]:
    return [json.loads(line)["custom_id"] for line in path.read_text(encoding="utf-8").splitlines()]


def test_at_a_server_that_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    write(source, 30)
    settings = Settings.model_validate({"data_dir": str(tmp_path)})
    engine = ScriptedEngine(context_size=64)
    with live_server(registry_over(loaded_model(engine)), settings) as live:
        call("batch", "run", str(source), "--url", live, "--output", str(output))
        assert capsys.readouterr().out == f"completed: 30 of 30 lines answered, in {output}\n"
        assert ids(output) == [f"r{number}" for number in range(30)]
        call("batch", "run", str(source), "--url", live, "--output", str(output), "--api-key", "schlüssel")
        write(source, 2, prompt="x" * 100)
        call("batch", "run", str(source), "--url", f"{live}/v1", "--output", str(output), code=1)
        assert "2 lines have an error" in capsys.readouterr().err
        assert ids(tmp_path / "out-errors.jsonl") == ["r0", "r1"]
        write(source, 2, temperature=-1)
        call("batch", "run", str(source), "--url", live, code=1)
        assert "line 2: 'temperature' must be" in capsys.readouterr().err


def test_what_is_no_input_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call("batch", "run", str(tmp_path / "none.jsonl"), code=2)
    call("batch", "run", str(tmp_path / "other.jsonl"), "--endpoint", URL, code=2)
    (tmp_path / "in.jsonl").write_text("hello\n")
    call("batch", "run", str(tmp_path / "in.jsonl"), code=2)
    told = capsys.readouterr().err
    assert told.count("No such file") == 2
    assert "the first line is no object" in told


@pytest.mark.parametrize(
    ("output", "complaint"),
    [
        ("none/out.jsonl", "cannot be written"),
        (".", "cannot be written"),
        ("in-errors.jsonl", "over the input"),
        ("in.jsonl", "over the input"),
    ],
)
def test_what_cannot_be_written_is_told_before_anything_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], output: str, complaint: str
) -> None:
    source = tmp_path / "in-errors.jsonl"
    write(source, 1)
    call(
        "batch", "run", str(source), "--url", "http://127.0.0.1:9", "--output", str(tmp_path / output), code=2
    )
    assert complaint in capsys.readouterr().err
