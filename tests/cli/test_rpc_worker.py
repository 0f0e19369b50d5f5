"""`caravan rpc-worker` where it cannot work; where it can, `tests/engine/test_rpc.py` uses it."""

import socket

import pytest
from caravan.llama import rpc

from tests.cli.calling import call


def test_a_port_that_is_taken_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        call("rpc-worker", "--port", str(port), code=1)
    told = capsys.readouterr()
    assert told.err == f"caravan: cannot listen on 127.0.0.1:{port}: Address already in use\n"
    assert told.out == ""


def test_a_build_without_rpc_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rpc, "is_built", lambda: False)
    call("rpc-worker", "--port", "50999", code=1)
    assert "this build of llama.cpp has no RPC; that of `make native` has it" in capsys.readouterr().err
