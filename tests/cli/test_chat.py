"""Talking in the terminal: what is sent, what is shown, what the words that begin with a slash do."""

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from caravan.auth import keys_file
from caravan.cli.chat.client import ChatClient, Piece, _pieces
from caravan.cli.chat.conversation import Conversation
from caravan.cli.errors import CommandError

from tests.conftest import TinyModels
from tests.fakes_web import loaded_model, registry_over
from tests.faults.process import child_pids, is_running
from tests.live_server import live_server
from tests.waiting import PATIENCE, wait_until

ROOT = Path(__file__).parents[2]
# Runs Python with its arguments as the leader of a session, so that Ctrl-C on its terminal is a signal to it.
_IN_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
# What a terminal is told before and after a line is typed: paste in brackets on, and off.
_ASKING, _ASKED = "\x1b[?2004h", "\x1b[?2004l"


def test_what_is_set_is_sent_until_it_is_unset() -> None:
    conversation = Conversation("m")
    assert conversation.command("/set temperature 0.2") == "temperature = 0.2"
    conversation.command('/set stop ["a", "b"]')
    conversation.command("/set preset creative")
    conversation.command("/system Be brief.")
    conversation.add("Hi", "Hello")
    assert conversation.body("So?") == {
        "model": "m",
        "temperature": 0.2,
        "stop": ["a", "b"],
        "preset": "creative",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello"},
            {"role": "user", "content": "So?"},
        ],
    }
    assert "temperature = 0.2" in conversation.command("/show")
    for line in ("/set temperature", "/set stop", "/set preset", "/system", "/reset"):
        conversation.command(line)
    assert conversation.body("So?") == {"model": "m", "messages": [{"role": "user", "content": "So?"}]}
    assert "/help" in conversation.command("/sett x 1")
    assert "/system" in conversation.command("/help")


def test_events_become_pieces() -> None:
    def event(**fields: object) -> str:
        return f"data: {json.dumps(fields)}"

    def delta(**fields: str) -> list[dict[str, object]]:
        return [{"index": 0, "delta": fields}]

    lines = [
        ": comment",
        event(choices=delta(role="assistant")),
        event(choices=delta(reasoning_content="Hm.")),
        event(choices=delta(content="Yes")),
        event(choices=[], usage={"completion_tokens": 2}),
        "data: [DONE]",
    ]
    assert list(_pieces(iter(lines))) == [Piece(), Piece(reasoning="Hm."), Piece("Yes"), Piece(num_tokens=2)]
    with pytest.raises(CommandError, match="broken"):
        list(_pieces(iter([event(error={"message": "broken"})])))


@pytest.fixture
def url() -> Iterator[str]:
    with live_server(registry_over(loaded_model())) as url:
        yield url


def test_a_refusal_says_what_the_server_said(url: str) -> None:
    with ChatClient(url, None) as client:
        assert client.models() == ["fake"]
        with pytest.raises(CommandError, match=r"answered 400: .*temperature"):
            list(client.answer(Conversation("fake").body("Hi") | {"temperature": -1}))
    with (
        ChatClient("http://127.0.0.1:1", None) as client,
        pytest.raises(CommandError, match="cannot be reached"),
    ):
        client.models()


def test_input_that_is_no_terminal_is_read_by_lines(url: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "caravan", "chat", "--url", url],
        input="/set temperature -1\nHi\n/set temperature\nHi\n/show\n/quit\n/nothing\n",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        cwd=ROOT,
        check=True,
    )
    assert "(the server answered 400: " in ended.stdout
    assert "turns: 1" in ended.stdout
    assert "/nothing" not in ended.stdout


def test_a_model_that_cannot_be_served_is_one_line(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "caravan", "chat", str(tmp_path / "none.gguf")],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        cwd=ROOT,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (1, f"caravan: no such file: {tmp_path / 'none.gguf'}\n")


def test_ctrl_c_stops_an_answer_and_ctrl_d_the_program(tiny_models: TinyModels, tmp_path: Path) -> None:
    """In a terminal of its own, over a model that never stops by itself."""
    terminal, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", _IN_TERMINAL, "-m", "caravan", "chat", str(tiny_models["qwen2"])],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=ROOT,
        env=os.environ | {"CARAVAN_DATA_DIR": str(tmp_path), "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"},
    ) as process:
        os.close(theirs)
        screen = _Screen(terminal)
        try:
            screen.wait_for(_ASKING)
            os.write(terminal, b"/set ignore_eos true\r")
            screen.wait_for("ignore_eos = true")
            screen.wait_for(_ASKING)
            os.write(terminal, b"Hello\r")
            screen.wait_for(_ASKED, extra=10)
            os.write(terminal, b"\x03")
            screen.wait_for("(stopped)")
            screen.wait_for(_ASKING)
            os.write(terminal, b"/show\r")
            screen.wait_for("turns: 1")
            screen.wait_for(_ASKING)
            os.write(terminal, b"\x04")
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
            os.close(terminal)


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the server in /proc")
def test_its_own_server_ends_with_it_even_if_it_is_killed(tiny_models: TinyModels, tmp_path: Path) -> None:
    """The data directory has a key, which a conversation with a server of its own does not need."""
    keys_file.add(tmp_path / "keys.json", name="alice")
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "caravan", "chat", str(tiny_models["qwen2"])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"CARAVAN_DATA_DIR": str(tmp_path)},
    ) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("/show\n")
            process.stdin.flush()
            assert process.stdout.readline().startswith("model: ")
            (server,) = child_pids(process.pid)
            engines = child_pids(server)
            assert engines
        finally:
            process.kill()
    wait_until(lambda: not any(map(is_running, [server, *engines])))


class _Screen:
    """What a program has written on its terminal."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._text = b""

    def wait_for(self, mark: str, *, extra: int = 0) -> None:
        """Read until `mark` has come and `extra` bytes after it, and forget all up to the mark."""
        deadline = time.monotonic() + PATIENCE
        while mark.encode() not in self._text or len(self._text.partition(mark.encode())[2]) < extra:
            assert time.monotonic() < deadline, self._text
            if select.select([self._terminal], [], [], 1)[0]:
                self._text += os.read(self._terminal, 4096)
        self._text = self._text.partition(mark.encode())[2]
