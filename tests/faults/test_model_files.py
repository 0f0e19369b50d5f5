"""The model's file is cut off, written over, replaced, deleted or touched under a running server."""

import os
import shutil
import signal
import sys
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest

from tests.faults.conftest import MODEL
from tests.faults.process import ServerProcess, server_process
from tests.tiny_model import write_tiny_model
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for the child in /proc")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another training of the same network: a file of the same size, and other texts."""
    path = tmp_path_factory.mktemp("other") / "other.gguf"
    write_tiny_model(path, "qwen2", seed=1)
    return path


@pytest.fixture
def file(tiny: Path, tmp_path: Path) -> Path:
    """A file that a test may do anything to."""
    return Path(shutil.copy(tiny, tmp_path / "model.gguf"))


@pytest.fixture
def server(file: Path) -> Generator[ServerProcess, None, None]:
    options = ("--model", str(file), "--model-id", MODEL, "--context-size", "2048", "--threads", "1")
    with server_process(*options) as running:
        yield running


def _ask(server: ServerProcess) -> httpx.Response:
    body = {"model": MODEL, "prompt": "The quick brown fox", "max_tokens": 40, "temperature": 0}
    return httpx.post(f"{server.address}/v1/completions", json=body, timeout=PATIENCE)


def _text(server: ServerProcess) -> str:
    answer = _ask(server)
    assert answer.status_code == 200, answer.text
    text: str = answer.json()["choices"][0]["text"]
    return text


def _state(server: ServerProcess) -> str:
    answer = httpx.get(f"{server.address}/v1/models/{MODEL}")
    state: str = answer.json()["file"]
    return state


def _is_ready(server: ServerProcess) -> bool:
    return httpx.get(f"{server.address}/ready").status_code == 200


def _write_over(file: Path, content: bytes) -> None:
    with file.open("r+b") as opened:
        opened.write(content)
        opened.truncate()


def test_a_file_that_is_written_over_is_loaded_anew(server: ServerProcess, file: Path, other: Path) -> None:
    before = _text(server)
    engine = server.engine_pid()
    assert _state(server) == "unchanged"
    _write_over(file, other.read_bytes())
    server.engine_pid(after=engine)
    server.wait_ready()
    assert _text(server) != before
    assert "was changed while it was in use" in server.output
    assert "Traceback" not in server.output


def test_a_file_that_is_cut_off_is_told_and_once_it_is_whole_the_model_is_back(
    server: ServerProcess, file: Path
) -> None:
    before, content = _text(server), file.read_bytes()
    os.truncate(file, len(content) // 2)
    wait_until(lambda: not _is_ready(server))
    wait_until(lambda: "could not be loaded" in server.output and "cut off" in server.output)
    answer = _ask(server)
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "model_unavailable"
    assert answer.headers["retry-after"].isdecimal()
    _write_over(file, content)
    server.wait_ready()
    assert _text(server) == before
    assert "Traceback" not in server.output


def test_a_model_goes_on_with_the_file_that_was_replaced_until_it_is_loaded_anew(
    server: ServerProcess, file: Path, other: Path
) -> None:
    before = _text(server)
    os.replace(shutil.copy(other, file.with_name("new")), file)
    wait_until(lambda: _state(server) == "replaced")
    assert _text(server) == before
    assert "another file has the name of" in server.output
    # Its engine cannot come back with weights that its vocabulary may not fit.
    server.replace_engine()
    assert _text(server) != before
    assert _state(server) == "unchanged"


def test_a_file_that_is_deleted_is_missed_when_it_is_needed(
    server: ServerProcess, file: Path, tiny: Path
) -> None:
    before = _text(server)
    file.unlink()
    wait_until(lambda: _state(server) == "deleted")
    assert _text(server) == before
    os.kill(server.engine_pid(), signal.SIGKILL)
    wait_until(lambda: "does not start: no such file" in server.output)
    answer = _ask(server)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "engine_unavailable")
    assert not _is_ready(server)
    shutil.copy(tiny, file)
    server.wait_ready()
    assert _text(server) == before


def test_a_file_that_is_only_touched_is_the_same(server: ServerProcess, file: Path, tiny: Path) -> None:
    os.utime(file)
    os.replace(shutil.copy(tiny, file.with_name("again")), file)
    server.replace_engine()
    assert _state(server) == "unchanged"
    assert "changed" not in server.output
    assert "another file" not in server.output
