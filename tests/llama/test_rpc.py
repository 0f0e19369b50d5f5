"""Workers that are none, asked before llama.cpp would end the process over them."""

import socket
import threading
from collections.abc import Callable

import pytest
from caravan.llama import rpc
from caravan.llama.rpc import RpcError

HELLO = b"\x0e" + (24).to_bytes(8, "little") + bytes(24)
ANSWER = (28).to_bytes(8, "little")


def older(client: socket.socket) -> None:
    assert client.recv(100) == HELLO
    client.sendall(ANSWER + b"\x06" + bytes(27))


def closing(client: socket.socket) -> None:
    client.recv(100)


def present(client: socket.socket) -> None:
    assert client.recv(100) == HELLO
    client.sendall(ANSWER + b"\x07" + bytes(27))


def greet(answer: Callable[[socket.socket], None] | None) -> None:
    """Greet a listener that answers so, or never."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            if answer is not None:
                client, _ = listener.accept()
                with client:
                    answer(client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            rpc._greet(f"127.0.0.1:{listener.getsockname()[1]}")
        finally:
            thread.join()


def test_a_worker_of_this_version_is_greeted() -> None:
    greet(present)


@pytest.mark.parametrize("answer", [older, closing])
def test_another_version_is_told(answer: Callable[[socket.socket], None]) -> None:
    with pytest.raises(RpcError, match=r"--rpc has another version of llama\.cpp, or is no worker$"):
        greet(answer)


def test_a_worker_that_works_for_another_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc, "_CONNECT_SECONDS", 0.1)
    with pytest.raises(
        RpcError, match="does not answer; one that works for another engine answers nobody else"
    ):
        greet(None)


def test_a_name_that_is_none_is_told() -> None:
    with pytest.raises(RpcError, match=r"the worker nowhere\.invalid:1 of --rpc cannot be reached: "):
        rpc._greet("nowhere.invalid:1")
