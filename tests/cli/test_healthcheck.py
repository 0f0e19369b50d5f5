"""`caravan healthcheck` finds the server, whatever it was started with."""

import json
import os
import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from caravan.web import running

from tests.cli.calling import call
from tests.cli.test_cli import ROOT, serving
from tests.conftest import TinyModels
from tests.waiting import PATIENCE
from tests.web.uvicorn.test_tls import Authority

Shown = pytest.CaptureFixture[str]


def by_flag(_folder: Path) -> tuple[str, ...]:
    return ()


def by_file(folder: Path) -> tuple[str, ...]:
    file = folder / "caravan.toml"
    file.write_text('host = "127.0.0.2"\n')
    return "--config", str(file)


def with_tls(folder: Path) -> tuple[str, ...]:
    return "--tls-certificate", str(Authority(folder).both)


def with_keys(_folder: Path) -> tuple[str, ...]:
    return "--api-key", "secret"


def everywhere(_folder: Path) -> tuple[str, ...]:
    return "--host", "0.0.0.0", "--api-key", "secret"


@pytest.mark.parametrize("options", [by_flag, by_file, with_tls, with_keys, everywhere])
def test_a_server_is_found_by_its_data_folder_alone(
    tiny_models: TinyModels,
    tmp_path: Path,
    options: Callable[[Path], tuple[str, ...]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: Shown,
) -> None:
    """As in a container: a variable names the folder, and all else may be a flag of the server."""
    monkeypatch.setenv("CARAVAN_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("CARAVAN_PORT", "9")
    with serving("--model", str(tiny_models["qwen2"]), *options(tmp_path)) as (process, _shown):
        call("healthcheck")
        assert "is alive" in capsys.readouterr().out
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    assert list((tmp_path / "running").iterdir()) == []
    call("healthcheck", code=1)
    shown = capsys.readouterr().err
    assert shown.startswith("caravan: http://127.0.0.1:9/health cannot be asked: ")
    assert shown.count("\n") == 1


def test_the_image_asks_so() -> None:
    written = re.search(r"HEALTHCHECK .*?CMD (\[.*?\])\n", (ROOT / "Dockerfile").read_text(), re.DOTALL)
    assert written is not None
    assert json.loads(written[1]) == ["caravan", "healthcheck"]


def test_what_a_killed_server_or_another_machine_has_left_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "running").mkdir()
    left = tmp_path / "running" / f"{socket.gethostname()}-1.json"
    left.write_text('{"address": "http://127.0.0.1:1"}')
    with running.registered_server(tmp_path, "http://127.0.0.1:2"):
        assert running.server_addresses(tmp_path) == ["http://127.0.0.1:2"]
        assert not left.exists()
        monkeypatch.setattr(socket, "gethostname", lambda: "another")
        assert running.server_addresses(tmp_path) == []
    assert running.server_addresses(tmp_path) == []


def test_of_several_servers_the_port_says_which(tmp_path: Path, capsys: Shown) -> None:
    with (
        running.registered_server(tmp_path, "http://127.0.0.1:2"),
        socket.create_server(("127.0.0.1", 0)) as taken,
    ):
        port = taken.getsockname()[1]
        call("healthcheck", "--data-dir", str(tmp_path), code=1)
        assert "http://127.0.0.1:2/health" in capsys.readouterr().err
        taken.close()
        call("healthcheck", "--data-dir", str(tmp_path), "--port", str(port), code=1)
        assert f"http://127.0.0.1:{port}/health" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_no_matter(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with running.registered_server(file, "http://127.0.0.1:2"):
        assert running.server_addresses(file) == []
    assert os.listdir(tmp_path) == ["file"]


def test_where_several_are_known_one_has_to_be_meant(
    tmp_path: Path, capsys: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = ["http://127.0.0.1:2", "http://127.0.0.1:3"]
    monkeypatch.setattr("caravan.cli.commands.healthcheck.server_addresses", lambda _folder: list(known))
    call("healthcheck", "--data-dir", str(tmp_path), code=1)
    assert "2 servers are known here; --port says which" in capsys.readouterr().err
    call("healthcheck", "--data-dir", str(tmp_path), "--port", "3", code=1)
    assert "http://127.0.0.1:3/health" in capsys.readouterr().err
