"""Answers as they come over the wire, cut at every place."""

import pytest

from tests.bench.client import read_event
from tests.bench.plan import Exchange
from tests.bench.wire import EventReader, ResponseReader

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENTS = [b'{"a":1}', b"[DONE]"]


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (*parts, b""))


@pytest.mark.parametrize("cut", range(len(HEAD) + 40))
def test_events_come_out_whole_wherever_the_stream_is_cut(cut: int) -> None:
    answer = HEAD + chunked(b'data: {"a":1}\n\n: comment\n\nda', b"ta: [DONE]\n\n")
    response, events = ResponseReader(), EventReader()
    found = events.feed(response.feed(answer[:cut])) + events.feed(response.feed(answer[cut:]))
    assert (response.status, found, response.complete) == (200, EVENTS, True)


def test_a_body_with_a_length_ends_by_itself() -> None:
    response = ResponseReader()
    assert (
        response.feed(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 4\r\n\r\nno")
        == b"no"
    )
    assert not response.complete
    assert response.feed(b"pe") == b"pe"
    assert (response.status, response.complete, response.closes) == (400, True, True)


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    response = ResponseReader()
    response.feed(b"HTTP/1.0 200 OK\r\n\r\ntext")
    assert not response.complete
    response.end()
    assert response.complete


def test_what_is_not_http_is_an_error() -> None:
    with pytest.raises(ValueError, match="not an HTTP answer"):
        ResponseReader().feed(b"hello\r\n\r\n")


def test_an_event_gives_text_usage_or_an_error() -> None:
    exchange = Exchange(group="clients", sent=0.0)
    assert read_event({"choices": [{"text": " abca"}], "usage": None}, exchange) == " abca"
    assert read_event({"choices": [{"delta": {"content": "x"}}]}, exchange) == "x"
    assert read_event({"choices": [{"delta": {"role": "assistant", "content": None}}]}, exchange) == ""
    assert read_event({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}, exchange) == ""
    assert (exchange.num_prompt_tokens, exchange.num_completion_tokens) == (3, 2)
    assert read_event({"error": {"message": "no"}}, exchange) == ""
    assert "no" in exchange.error
