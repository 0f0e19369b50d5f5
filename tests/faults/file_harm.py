"""What is done to a model's file while steps are computed with it, and what has to come of it."""

import os
import shutil
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx

from tests.faults.bystanders import Bystanders, bystanders
from tests.faults.conftest import MODEL, Others
from tests.faults.process import ServerProcess, server_process
from tests.waiting import PATIENCE, wait_until

# What clients send: prompts that take many steps to read, or answers that do to write.
Work = Literal["prefill", "decode"]
# Nothing; or errors, and then another model, or none until the file is whole.
Outcome = Literal["nothing", "another", "none"]

_LONG = tuple(f"{beginning} " + "the cat sat on a mat and " * 70 for beginning in ("First", "Then", "Last"))
_OPTIONS: dict[Work, dict[str, Any]] = {
    "decode": {"count": 4, "num_tokens": 200},
    "prefill": {"count": 2, "num_tokens": 4, "prompts": _LONG, "cold": True},
}
# An error that says that somebody else's fault ended the answer, or that there is no engine or no model yet.
_HONEST = ("engine_error", "engine_unavailable", "model_unavailable")


@dataclass(frozen=True)
class Harm:
    """What is done to a file, by somebody who may have the others, and what comes of it."""

    do: Callable[[Path, Others], object]
    outcome: Outcome


def write_over(file: Path, content: bytes) -> None:
    """Write into the file itself, as `cp` does."""
    with file.open("r+b") as opened:
        opened.write(content)
        opened.truncate()


HARMS: dict[str, Harm] = {
    "touched": Harm(lambda file, _: os.utime(file), "nothing"),
    "written again": Harm(lambda file, _: _write_without_end(file, file.read_bytes()), "nothing"),
    "another training": Harm(lambda file, others: write_over(file, others.like.read_bytes()), "another"),
    "another training, slowly": Harm(
        lambda file, others: _write_slowly(file, others.like.read_bytes()), "another"
    ),
    "another model": Harm(lambda file, others: write_over(file, others.unlike.read_bytes()), "another"),
    "zeros": Harm(lambda file, _: write_over(file, bytes(file.stat().st_size)), "none"),
    "cut to half": Harm(lambda file, _: os.truncate(file, file.stat().st_size // 2), "none"),
    "cut to nothing": Harm(lambda file, _: os.truncate(file, 0), "none"),
    "renamed": Harm(lambda file, _: file.rename(file.with_suffix(".away")), "nothing"),
    "replaced": Harm(
        lambda file, others: os.replace(shutil.copy(others.like, f"{file}.new"), file), "nothing"
    ),
    "deleted": Harm(lambda file, _: file.unlink(), "nothing"),
}


def _write_without_end(file: Path, content: bytes) -> None:
    with file.open("r+b") as opened:
        opened.write(content)


def _write_slowly(file: Path, content: bytes) -> None:
    with file.open("r+b", buffering=0) as opened:
        for start in range(0, len(content), len(content) // 20):
            opened.write(content[start : start + len(content) // 20])
            time.sleep(0.05)


@dataclass
class Course:
    """What clients saw, and the seconds from the harm to the first error of any of them."""

    crowd: Bystanders
    begun: float = field(default_factory=time.monotonic)
    noticed: float | None = None

    def wait_for_error(self) -> None:
        """Until some answer has ended with one."""
        wait_until(lambda: bool(self.crowd.seen.lost))
        self.noticed = time.monotonic() - self.begun


@contextmanager
def _clients(server: ServerProcess, work: Work) -> Generator[Bystanders, None, None]:
    with bystanders(server.address, MODEL, **_OPTIONS[work]) as crowd:
        crowd.wait_for(3)
        yield crowd


def suffer(file: Path, others: Others, name: str, work: Work, pause: float = 0.0) -> float | None:
    """Start a server with the file, harm that while clients work, and see that all is as it has to be.

    The harm is done `pause` seconds after some answers. Returns how long it took until one was an error.
    """
    harm, content = HARMS[name], file.read_bytes()
    options = ("--model", str(file), "--model-id", MODEL, "--context-size", "2048", "--threads", "1")
    with server_process(*options) as server:
        engine = server.engine_pid()
        with _clients(server, work) as crowd:
            time.sleep(pause)
            course = Course(crowd)
            harm.do(file, others)
            if harm.outcome == "nothing":
                crowd.wait_for(6)
            else:
                course.wait_for_error()
                wait_until(lambda: not Path(f"/proc/{engine}").exists())
        if harm.outcome == "nothing":
            crowd.seen.assert_unharmed()
            assert server.engine_pid() == engine
        else:
            assert_honest(crowd, _after(server, file, content, work, harm.outcome))
        assert not server.has_ended
        assert "Traceback" not in server.output
        return course.noticed


def _after(server: ServerProcess, file: Path, content: bytes, work: Work, outcome: Outcome) -> list[str]:
    """Wait for the end of the trouble; the texts of the model that is there then."""
    if outcome == "none":
        wait_until(lambda: _code(server) == "model_unavailable")
        write_over(file, content)
    server.wait_ready()
    return Bystanders(server.address, MODEL, **_OPTIONS[work]).expected


def _code(server: ServerProcess) -> str:
    body = {"model": MODEL, "prompt": "Hi", "max_tokens": 1}
    answer = httpx.post(f"{server.address}/v1/completions", json=body, timeout=PATIENCE)
    return "" if answer.status_code == 200 else str(answer.json()["error"]["code"])


def assert_honest(crowd: Bystanders, texts: list[str]) -> None:
    """No text was that of neither model, and nobody got an error that blames anybody else."""
    wrong = [line for line in crowd.seen.changed if line not in texts]
    assert wrong == []
    odd = [line for line in crowd.seen.lost if not any(code in line for code in _HONEST)]
    assert odd == []
