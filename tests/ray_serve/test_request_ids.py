"""A request has one name: in our log, in what we answer, and in what Ray's proxy adds to that."""

import asyncio

import pytest
from caravan.ray_serve.request_ids import RequestIds
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

UUID = "53e0ce69-27ec-4e3e-bbc2-c33c347f3e13"


@pytest.mark.parametrize(("given", "taken"), [(UUID, f"req_{UUID}"), ("mine", "mine")])
def test_rays_name_is_ours_and_is_sent_once(given: str, taken: str) -> None:
    seen: list[str] = []
    sent: list[Message] = []

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        name = Headers(scope=scope)["x-request-id"]
        seen.append(name)
        head = [(b"x-request-id", name.encode()), (b"request-id", name.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": head})

    async def receive() -> Message:
        raise AssertionError("nothing is read")

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "headers": [(b"x-request-id", given.encode())]}
    asyncio.run(RequestIds(app)(scope, receive, send))
    assert seen == [taken]
    assert sent[0]["headers"] == [(b"request-id", taken.encode())]
