"""Signals to a server, its children and its group: nobody loses more than they must, and nobody stays."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from caravan.runtime.machine import process_sample

from tests.faults.bystanders import bystanders
from tests.faults.conftest import MODEL
from tests.faults.process import ServerProcess, child_pids, command_line, is_running, server_process
from tests.waiting import PATIENCE, wait_until
from tests.web.test_chat_templates import HANGS_IF_BAD
from tests.web.uvicorn.raw import connection, head, read_answer, takes_connections

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
STREAM = {"model": MODEL, "prompt": "Hi", "max_tokens": 400, "ignore_eos": True, "stream": True}
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
TEMPLATE, ENGINE = "caravan.chat.rendering.process", "caravan.engine.worker"


def own_group() -> None:
    """So that a test can send a signal to the server's group, as a terminal does; under nohup, too."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def as_nohup_does() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def to_the_server(server: ServerProcess, number: int) -> None:
    os.kill(server.pid, number)


def to_the_group(server: ServerProcess, number: int) -> None:
    os.killpg(server.pid, number)


def children(server: ServerProcess) -> dict[str, int]:
    """The children by their modules; a template's is there once a model is loaded."""
    server.wait_ready()
    found = {command_line(pid).split()[-3]: pid for pid in child_pids(server.pid)}
    assert found.keys() == {TEMPLATE, ENGINE}
    return found


def cpu_seconds(pid: int) -> float:
    sample = process_sample(pid)
    assert sample is not None
    return sample.cpu_seconds


def chat(server: ServerProcess) -> httpx.Response:
    """A conversation, which needs the template."""
    return httpx.post(f"{server.address}/v1/chat/completions", json=CHAT, timeout=PATIENCE)


def read_stream(server: ServerProcess, begun: Callable[[], object]) -> list[str]:
    """The lines of a stream; `begun` is called when it has begun."""
    lines: list[str] = []
    with httpx.stream("POST", f"{server.address}/v1/completions", json=STREAM, timeout=PATIENCE) as answer:
        for line in filter(None, answer.iter_lines()):
            if not lines:
                begun()
            lines.append(line)
    return lines


@pytest.mark.parametrize("send", [to_the_server, to_the_group])
@pytest.mark.parametrize("number", ENDING)
def test_what_ends_a_server_lets_streams_end_first(
    tiny_options: tuple[str, ...], number: signal.Signals, send: Callable[[ServerProcess, int], None]
) -> None:
    with server_process(*tiny_options, "--shutdown-seconds", "60", prepare=own_group) as server:
        pids = children(server).values()
        lines = read_stream(server, lambda: send(server, number))
        assert lines[-1] == "data: [DONE]"
        assert '"finish_reason":"length"' in lines[-2]
        wait_until(lambda: server.has_ended)
        assert server.stop() == 0
        wait_until(lambda: not any(map(is_running, pids)))


def test_a_server_under_nohup_outlives_its_terminal(tiny_options: tuple[str, ...]) -> None:
    with server_process(*tiny_options, prepare=as_nohup_does) as server:
        pids = children(server)
        with bystanders(server.address, MODEL) as crowd:
            os.kill(server.pid, signal.SIGHUP)
            crowd.wait_for(3)
        crowd.seen.assert_unharmed()
        assert children(server) == pids


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_signals_without_a_meaning_do_nothing(tiny_options: tuple[str, ...], number: signal.Signals) -> None:
    with server_process(*tiny_options, prepare=own_group) as server:
        pids = children(server)
        with bystanders(server.address, MODEL) as crowd:
            to_the_group(server, number)
            crowd.wait_for(3)
        crowd.seen.assert_unharmed()
        assert children(server) == pids


def test_children_leave_it_to_the_server_when_they_end(tiny_options: tuple[str, ...]) -> None:
    with server_process(*tiny_options) as server:
        pids = children(server)
        with bystanders(server.address, MODEL) as crowd:
            for pid in pids.values():
                for number in ENDING:
                    os.kill(pid, number)
            crowd.wait_for(3)
            assert chat(server).status_code == 200
        crowd.seen.assert_unharmed()
        assert children(server) == pids


@pytest.mark.parametrize("is_restarted", [False, True])
def test_children_that_are_stopped_end_with_a_server_that_is_killed(
    tiny_options: tuple[str, ...], *, is_restarted: bool
) -> None:
    """Also those that were started later, from another thread than the first ones."""
    with server_process(*tiny_options) as server:
        pids = children(server)
        if is_restarted:
            for pid in pids.values():
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda: not any(map(is_running, pids.values())))
            # That it has ended is noticed a moment later.
            wait_until(lambda: chat(server).status_code == 200)
            # Threads that have nothing to do must not take with them what they have started.
            time.sleep(0.5)
            pids = children(server)
        for pid in pids.values():
            os.kill(pid, signal.SIGSTOP)
        os.kill(server.pid, signal.SIGKILL)
        wait_until(lambda: not any(map(is_running, pids.values())))


def test_a_second_signal_while_a_template_is_stuck_is_told_in_the_envelope(
    tiny_options: tuple[str, ...], tmp_path: Path
) -> None:
    """A template's process is given up after five seconds of a processor."""
    template = tmp_path / "template.jinja"
    template.write_text(HANGS_IF_BAD)
    options = ("--chat-template", str(template), "--shutdown-seconds", "60")
    with server_process(*tiny_options, *options) as server:
        writing = children(server)[TEMPLATE]
        body = json.dumps(CHAT | {"messages": [{"role": "user", "content": "bad"}]}).encode()
        used = cpu_seconds(writing)
        with connection(server.address) as client:
            lines = ("content-type: application/json", f"content-length: {len(body)}")
            client.sendall(head("/v1/chat/completions", *lines) + body)
            wait_until(lambda: cpu_seconds(writing) > used + 0.2)
            os.kill(server.pid, signal.SIGTERM)
            wait_until(lambda: not takes_connections(server.address))
            os.kill(server.pid, signal.SIGTERM)
            answer = read_answer(client)
        assert answer.status == 503
        assert answer.error.code == "engine_unavailable"
        assert "retry-after" in answer.headers
        wait_until(lambda: server.has_ended)
