"""The memory that all bodies share: who takes it, who gives it back, and who has to go."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from caravan.errors import OverloadedError
from caravan.web import request_body
from caravan.web.request_body import BodyBudget, HeldBody
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine

Work = Callable[[HeldBody], Awaitable[None]]


class Client:
    """Sends pieces of a body when the test says so."""

    def __init__(self) -> None:
        self._pieces: asyncio.Queue[tuple[bytes, bool]] = asyncio.Queue()

    async def stream(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            piece, more = await self._pieces.get()
            yield piece

    def send(self, body: bytes, *, more: bool) -> None:
        self._pieces.put_nowait((body, more))


async def nothing(_body: HeldBody) -> None:
    """What is done with a body that was only to be read."""


def asking(budget: BodyBudget, client: Client, work: Work = nothing) -> "asyncio.Task[None]":
    async def serve() -> None:
        body = HeldBody(budget)
        try:
            await body.receive(client.stream(), 1000, 60)
            await work(body)
        finally:
            body.release()

    return asyncio.ensure_future(serve())


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_a_body_is_counted_while_its_request_is_served_and_no_longer() -> None:
    async def test() -> None:
        budget, client = BodyBudget(100), Client()
        asked = asking(budget, client)
        client.send(b"x" * 30, more=True)
        await settle()
        assert budget.num_bytes == 30
        client.send(b"x" * 20, more=True)
        await settle()
        assert budget.num_bytes == 50
        client.send(b"", more=False)
        await asked
        assert budget.num_bytes == 0

    asyncio.run(test())


def test_what_was_read_of_it_is_counted_with_it() -> None:
    async def unpack(body: HeldBody) -> None:
        body.hold(40)
        seen.append(budget.num_bytes)

    seen: list[int] = []
    budget = BodyBudget(100)

    async def test() -> None:
        client = Client()
        client.send(b"x" * 30, more=False)
        await asking(budget, client, unpack)

    asyncio.run(test())
    assert seen == [70]
    assert budget.num_bytes == 0


def test_the_slowest_sender_makes_room_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_body, "_GRACE_SECONDS", 0.0)

    async def test() -> None:
        budget = BodyBudget(100)
        clients = [Client() for _ in range(3)]
        asked = [asking(budget, client) for client in clients]
        for client in clients:
            client.send(b"x" * 40, more=True)
            await settle()
        with pytest.raises(OverloadedError, match="slowly"):
            await asked[0]
        assert budget.num_bytes == 80
        for client in clients[1:]:
            client.send(b"x" * 10, more=False)
        await asyncio.gather(*asked[1:])
        assert budget.num_bytes == 0

    asyncio.run(test())


def test_bodies_that_have_come_are_not_given_up_for_others() -> None:
    async def test() -> None:
        budget, client, late = BodyBudget(100), Client(), Client()
        is_answered = asyncio.Event()

        async def answer(_body: HeldBody) -> None:
            await is_answered.wait()

        asked = asking(budget, client, answer)
        client.send(b"x" * 80, more=False)
        await settle()
        refused = asking(budget, late)
        late.send(b"x" * 40, more=True)
        with pytest.raises(OverloadedError) as caught:
            await refused
        assert caught.value.retry_after is not None
        assert not asked.done()
        is_answered.set()
        await asked

    asyncio.run(test())


def test_one_that_has_made_room_gets_no_more() -> None:
    async def test() -> None:
        budget = BodyBudget(100)
        body = HeldBody(budget)
        budget.hold(body, 10)
        budget.release(body)
        with pytest.raises(OverloadedError):
            budget.hold(body, 10)
        budget.release(body)
        assert budget.num_bytes == 0

    asyncio.run(test())


def test_no_key_takes_what_is_there_for_others() -> None:
    async def ask(budget: BodyBudget, owner: str, num_bytes: int) -> bool:
        try:
            HeldBody(budget, owner).hold(num_bytes)
        except OverloadedError:
            return False
        return True

    async def many(budget: BodyBudget, owner: str, num_bytes: int = 10) -> int:
        # Each in a task of its own, as requests are.
        asked = [asyncio.create_task(ask(budget, owner, num_bytes)) for _ in range(200)]
        return sum(await asyncio.gather(*asked))

    async def test() -> None:
        budget = BodyBudget(1000)
        assert await many(budget, "greedy") == 75
        assert await many(budget, "modest") == 18
        assert await many(budget, "third") > 0
        assert await many(BodyBudget(1000), "large", 900) == 1, "one is never too much"
        assert await many(BodyBudget(1000), "") == 100, "without keys all are one"

    asyncio.run(test())


def test_a_request_holds_its_body_until_it_is_answered(client: TestClient, engine: ScriptedEngine) -> None:
    seen: list[int] = []
    budget = client.app.state.services.bodies.budget  # type: ignore[attr-defined]

    def script(_request: object, _index: int) -> list[str]:
        seen.append(budget.num_bytes)
        return ["a"]

    engine.script = script
    body = b'{"model": "fake", "prompt": "Hi"}'
    for method in ("POST", "HEAD"):
        client.request(method, "/v1/completions", content=body)
    assert seen == [len(body)]
    assert budget.num_bytes == 0
