"""Documents in pieces go out whole, with their length, never more at a time than is copied in no time."""

import asyncio

import pytest
from caravan.web.json_pieces import JsonResponse
from starlette.types import Message

_MOST = 262_144


def sent(document: bytes | list[bytes]) -> tuple[bytes, bytes, list[int]]:
    """The announced length, the body, and the sizes of its parts."""
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    async def receive() -> Message:
        raise AssertionError("nothing is asked of the client")

    asyncio.run(JsonResponse(document)({"type": "http", "method": "GET"}, receive, send))
    head, *parts = messages
    assert [part.get("more_body", False) for part in parts] == [True] * (len(parts) - 1) + [False]
    length = dict(head["headers"])[b"content-length"]
    return length, b"".join(part["body"] for part in parts), [len(part["body"]) for part in parts]


@pytest.mark.parametrize(
    "sizes",
    [[0], [5], [_MOST], [_MOST + 1], [1] * 9, [3, _MOST, 3], [700_000, 10, 10, 400_000], [100_000] * 7],
)
def test_pieces_are_one_document(sizes: list[int]) -> None:
    pieces = [bytes([97 + place % 26]) * size for place, size in enumerate(sizes)]
    length, body, parts = sent(list(pieces))
    assert body == b"".join(pieces)
    assert int(length) == len(body)
    assert max(parts) <= _MOST
    assert sent(body) == (length, body, sent(body)[2])


def test_small_pieces_go_together() -> None:
    assert len(sent([b"x" * 1000] * 1000)[2]) <= 1 + 1_000_000 // (_MOST - 1000)


def test_others_have_their_turn_after_each_part() -> None:
    """However fast its client reads."""
    turns: list[str] = []

    async def send(_message: Message) -> None:
        turns.append("document")

    async def receive() -> Message:
        raise AssertionError("nothing is asked of the client")

    async def other() -> None:
        while True:
            turns.append("other")
            await asyncio.sleep(0)

    async def both() -> None:
        beside = asyncio.create_task(other())
        await JsonResponse([b"x" * _MOST] * 4)({"type": "http", "method": "GET"}, receive, send)
        beside.cancel()

    asyncio.run(both())
    # The head and the first part go out together.
    assert turns == ["document", "document", *["other", "document"] * 3, "other"]
