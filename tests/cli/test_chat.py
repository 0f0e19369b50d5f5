"""Talking in the terminal: what is sent, what is shown, what the words that begin with a slash do."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.cli.chat.client import ChatClient, ChatError, Piece, _pieces
from server.cli.chat.conversation import Conversation
from tests.fakes_web import loaded_model, registry_over
from tests.live_server import live_server

ROOT = Path(__file__).parents[2]


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
    with pytest.raises(ChatError, match="broken"):
        list(_pieces(iter([event(error={"message": "broken"})])))


@pytest.fixture
def url() -> Iterator[str]:
    with live_server(registry_over(loaded_model())) as url:
        yield url


def test_a_refusal_says_what_the_server_said(url: str) -> None:
    with ChatClient(url, None) as client:
        assert client.models() == ["fake"]
        with pytest.raises(ChatError, match=r"answered 400: .*temperature"):
            list(client.answer(Conversation("fake").body("Hi") | {"temperature": -1}))
    with (
        ChatClient("http://127.0.0.1:1", None) as client,
        pytest.raises(ChatError, match="cannot be reached"),
    ):
        client.models()


def test_input_that_is_no_terminal_is_read_by_lines(url: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "server", "chat", "--url", url],
        input="/set temperature -1\nHi\n/set temperature\nHi\n/show\n",
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=True,
    )
    assert "(the server answered 400: " in ended.stdout
    assert "turns: 1" in ended.stdout


def test_a_model_that_cannot_be_served_is_one_line(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "server", "chat", str(tmp_path / "none.gguf")],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (1, f"caravan: no such file: {tmp_path / 'none.gguf'}\n")
