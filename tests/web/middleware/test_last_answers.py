"""What clients are told whose requests the server's end cuts off."""

import asyncio
import json
from typing import Any

import pytest
from caravan.observability.metrics import Metrics
from caravan.web.middleware.access_log import AccessLogMiddleware
from starlette.types import Message, Receive, Scope, Send

HTTP: Scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
STREAM = [(b"content-type", b"text/event-stream; charset=utf-8")]
PLAIN = [(b"content-type", b"application/json")]


async def cut_off(*messages: Message, scope: Scope = HTTP) -> tuple[list[Message], bool]:
    """What is sent of an app that says this and then waits for ever; whether the cancellation went on."""
    sent: list[Message] = []
    waits = asyncio.Event()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)
        waits.set()
        await asyncio.Event().wait()

    async def receive() -> Message:
        return await asyncio.Future()

    async def send(message: Message) -> None:
        sent.append(message)

    task = asyncio.ensure_future(AccessLogMiddleware(app, Metrics(), None, [])(scope, receive, send))
    await waits.wait()
    task.cancel()
    await asyncio.wait([task])
    return sent, task.cancelled()


def begin(headers: list[tuple[bytes, bytes]]) -> Message:
    return {"type": "http.response.start", "status": 200, "headers": headers}


def part(body: bytes, *, more_body: bool) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more_body}


def error(body: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(body)["error"]
    return found


def test_an_answer_that_has_not_begun_is_an_error() -> None:
    (head, body), was_cancelled = asyncio.run(cut_off())
    assert not was_cancelled
    assert head["status"] == 503
    assert (b"retry-after", b"5") in head["headers"]
    assert error(body["body"])["code"] == "engine_unavailable"


def test_a_stream_ends_with_an_error_event() -> None:
    sent, was_cancelled = asyncio.run(cut_off(begin(STREAM), part(b": keep-alive\n\n", more_body=True)))
    assert not was_cancelled
    last = sent[-1]
    assert not last["more_body"]
    assert last["body"].startswith(b"data: ")
    assert last["body"].endswith(b"\n\n")
    assert error(last["body"].removeprefix(b"data: "))["type"] == "server_error"


@pytest.mark.parametrize(
    "messages",
    [[begin(PLAIN)], [begin(PLAIN), part(b"{", more_body=True)], [begin(STREAM), part(b"", more_body=False)]],
)
def test_what_cannot_be_mended_breaks_off(messages: list[Message]) -> None:
    sent, was_cancelled = asyncio.run(cut_off(*messages))
    assert was_cancelled
    assert sent == messages


def test_what_is_no_request_is_left_alone() -> None:
    assert asyncio.run(cut_off(scope={"type": "lifespan"})) == ([], True)
