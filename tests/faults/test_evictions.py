"""One key that asks for model after model, where one fits: the other key keeps its own."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from caravan.auth import keys_file

from tests.faults.process import ServerProcess, server_process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for the child in /proc")

TEXT = "/v1/completions"


def ask(server: ServerProcess, token: str, model: str, patience: float = 60) -> httpx.Response:
    body = {"model": model, "prompt": "the", "max_tokens": 4, "temperature": 0, "ignore_eos": True}
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.post(server.address + TEXT, json=body, headers=headers, timeout=patience)


@pytest.mark.parametrize("stays", [True, False])
def test_a_key_that_cycles_through_models_keeps_nobody_from_theirs(
    tiny: Path, tmp_path: Path, *, stays: bool
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("victims", "a", "b", "c"):
        (folder / f"{name}.gguf").hardlink_to(tiny)
    victim, cycler = (keys_file.add(tmp_path / "keys.json", name=name) for name in ("victim", "cycler"))
    options = ["--models-dir", str(folder), "--data-dir", str(tmp_path), "--max-loaded", "1"]
    options += ["--context-size", "256", "--threads", "1"]
    options += ["--model-stay-seconds", "600" if stays else "0"]
    with server_process(*options) as server, ThreadPoolExecutor(1) as pool:
        first = ask(server, victim, "victims")
        assert first.status_code == 200
        for name in ("a", "b"):
            assert ask(server, cycler, name).status_code == 200
            assert ask(server, victim, "victims").status_code == 200
        engine = server.engine_pid()
        if not stays:
            assert ask(server, cycler, "c").status_code == 200
            return
        cycling = pool.submit(ask, server, cycler, "c", 3)
        while not cycling.done():
            assert ask(server, victim, "victims").json()["choices"] == first.json()["choices"]
        assert isinstance(cycling.exception(), httpx.ReadTimeout), "it waits"
        assert server.engine_pid() == engine
