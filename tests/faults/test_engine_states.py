"""The engine's process is killed or stopped while it waits, reads prompts or writes answers."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Generator

import httpx
import pytest

from tests.faults.bystanders import bystanders
from tests.faults.conftest import MODEL
from tests.faults.process import ServerProcess, server_process
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for the child in /proc")

# Seconds. After 2 an engine that is stopped gets no new work.
_TOO_LONG = 1.5
_SIGNALS = [signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP]


def _ask(server: ServerProcess, prompt: str, max_tokens: int) -> httpx.Response:
    body = {"model": MODEL, "prompt": prompt, "max_tokens": max_tokens, "temperature": 0, "ignore_eos": True}
    return httpx.post(f"{server.address}/v1/completions", json=body, timeout=PATIENCE)


def _text(server: ServerProcess) -> str:
    answer = _ask(server, "The quick brown fox", 40)
    assert answer.status_code == 200, answer.text
    text: str = answer.json()["choices"][0]["text"]
    return text


@contextlib.contextmanager
def _prompts(server: ServerProcess) -> Generator[list[httpx.Response], None, None]:
    """Clients that send one long prompt after the other, and want next to nothing of an answer."""
    over, answers = threading.Event(), list[httpx.Response]()

    def run(number: int) -> None:
        turn = 0
        while not over.is_set():
            turn += 1
            answers.append(_ask(server, f"{number}.{turn} " + "word and word " * 160, 1))

    clients = [threading.Thread(target=run, args=(number,)) for number in range(3)]
    for client in clients:
        client.start()
    try:
        wait_until(lambda: len(answers) >= 6)
        yield answers
    finally:
        over.set()
        for client in clients:
            client.join(PATIENCE)


@pytest.mark.parametrize("number", _SIGNALS, ids=lambda number: number.name)
def test_while_it_waits_for_work(tiny_options: tuple[str, ...], number: signal.Signals) -> None:
    with server_process(*tiny_options) as server:
        before = _text(server)
        print(f"back after {server.replace_engine(number):.1f} s")
        assert _text(server) == before


@pytest.mark.parametrize("number", _SIGNALS, ids=lambda number: number.name)
def test_while_it_reads_prompts(tiny_options: tuple[str, ...], number: signal.Signals) -> None:
    with server_process(*tiny_options) as server:
        before = _text(server)
        with _prompts(server) as answers:
            print(f"back after {server.replace_engine(number):.1f} s")
            seen = len(answers)
            wait_until(lambda: len(answers) > seen + 3)
        codes = {answer.json()["error"]["code"] for answer in answers if answer.status_code != 200}
        assert codes <= {"engine_error", "engine_unavailable"}
        refused = [answer for answer in answers if answer.status_code == 503]
        assert all(answer.headers["retry-after"].isdecimal() for answer in refused)
        assert _text(server) == before


def test_stopped_while_it_writes_answers(tiny_options: tuple[str, ...]) -> None:
    with server_process(*tiny_options) as server:
        with bystanders(server.address, MODEL) as crowd:
            crowd.wait_for(2)
            print(f"back after {server.replace_engine(signal.SIGSTOP):.1f} s")
            crowd.wait_for(4)
        assert crowd.seen.changed == []
        broken = [line for line in crowd.seen.lost if "engine_unavailable" not in line]
        assert len(broken) <= 2
        assert all("the engine hung and was ended" in line for line in broken)
        assert not server.has_ended


def test_stopped_for_a_moment_it_goes_on_as_if_nothing_had_been(tiny_options: tuple[str, ...]) -> None:
    stopped = _TOO_LONG
    while stopped >= _TOO_LONG:  # as where this process did not get its turn: tried again
        with server_process(*tiny_options) as server:
            engine = server.engine_pid()
            with bystanders(server.address, MODEL) as crowd:
                crowd.wait_for(2)
                begun = time.monotonic()
                os.kill(engine, signal.SIGSTOP)
                time.sleep(0.7)
                os.kill(engine, signal.SIGCONT)
                stopped = time.monotonic() - begun
                crowd.wait_for(4)
            is_same = server.engine_pid() == engine
    crowd.seen.assert_unharmed()
    assert is_same
