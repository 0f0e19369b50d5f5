"""Steps of the check of a GPU end in time, and leave what the others found."""

import sys
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pytest

from tests.bench import gpu_check
from tests.bench.gpu_check import STEPS, Done, Step
from tests.bench.servers import OURS


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_all_of_it_fits_into_nine_minutes() -> None:
    assert sum(step.seconds for step in STEPS) <= 540
    known = [step.name for step in STEPS]
    for place, step in enumerate(STEPS):
        assert set(step.needs) <= set(known[:place])


@pytest.mark.parametrize(
    ("code", "seconds", "outcome"),
    [
        ("print('fine')", 60, "passed"),
        ("print('not so'); raise SystemExit(3)", 60, "failed (3)"),
        ("import time; print('begun', flush=True); time.sleep(600)", 0.5, "out of time"),
    ],
)
def test_a_step_ends(code: str, seconds: float, outcome: str) -> None:
    assert gpu_check.run(Step(name="one", seconds=seconds), python(code), []).outcome == outcome


def test_a_step_is_left_out_when_another_failed() -> None:
    failed = Done(step="build", outcome="failed (1)", seconds=1.0, said="no nvcc")
    found = gpu_check.run(Step(name="logits", seconds=60, needs=("build",)), python("1 / 0"), [failed])
    assert (found.outcome, found.said) == ("left out", "for want of build")
    text = gpu_check.markdown([failed, found], "a machine")
    assert "| build | failed (1) | 1.00 |" in text
    assert "no nvcc" in text


def test_steps_after_the_build_take_its_library(tmp_path: Path) -> None:
    binaries = tmp_path / "peers-1" / "llama.cpp" / "bin"
    logits = next(step for step in STEPS if step.name == "logits")
    command = gpu_check.command_of(logits, tmp_path, binaries)
    assert command[:2] == ["env", f"LLAMA_CPP_LIB_PATH={binaries}"]
    assert command[-2:] == ["deploy.build.first_prompt", "--gpu"]


class _Refusing(BaseHTTPRequestHandler):
    """A server that is up, and refuses all."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_error(400)

    def log_message(self, *_: object) -> None:
        pass


def test_a_server_that_refuses_all_has_not_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu_check, "ensure_model", lambda *_: tmp_path)
    monkeypatch.setattr(gpu_check, "_peers", lambda _: None)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Refusing) as refusing:
        Thread(target=refusing.serve_forever, daemon=True).start()
        server = SimpleNamespace(port=refusing.server_port)
        monkeypatch.setattr(gpu_check, "running", lambda *_: nullcontext(server))
        assert gpu_check._do(OURS, tmp_path) == 1
        refusing.shutdown()
    assert "status 400" in capsys.readouterr().out
