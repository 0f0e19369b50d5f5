"""Several web sides and one book: a key's limits hold for all of them together."""

import asyncio
import pickle
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from caravan.auth.keys_file import Key
from caravan.errors import RateLimitError
from caravan.ray_serve.ledger import LedgerBook, RemoteLedger

from tests.clock import Clock


class Web:
    """Web sides over one book, whose calls are pickled as between processes."""

    def __init__(self, clock: Clock, count: int) -> None:
        self.book = LedgerBook(clock)
        self.tasks: list[asyncio.Task[Any]] = []
        self.ledgers = [RemoteLedger(self.ask, self.tell) for _ in range(count)]
        self.num_asked = 0

    async def ask(self, name: str, *arguments: Any) -> Any:  # noqa: ANN401 (what an actor answers)
        self.num_asked += 1
        called = pickle.loads(pickle.dumps(arguments))
        return pickle.loads(pickle.dumps(await getattr(self.book, name)(*called)))

    def tell(self, name: str, *arguments: object) -> None:
        self.tasks.append(asyncio.create_task(self.ask(name, *arguments)))

    async def settle(self) -> None:
        await asyncio.gather(*self.tasks)


def run(test: Callable[[Web, Clock], Awaitable[None]], count: int = 2) -> None:
    async def main() -> None:
        clock = Clock()
        web = Web(clock, count)
        try:
            await test(web, clock)
        finally:
            for ledger in web.ledgers:
                await ledger.aclose()
            await web.settle()

    asyncio.run(main())


def key(**limits: int) -> Key:
    return Key.model_validate({"name": "alice", "hash": "0" * 64, **limits})


def test_requests_per_minute_are_those_of_all() -> None:
    async def test(web: Web, clock: Clock) -> None:
        limited = key(requests_per_minute=3)
        for ledger in (*web.ledgers, web.ledgers[0]):
            (await ledger.enter(limited)).leave(0)
        for ledger in web.ledgers:
            with pytest.raises(RateLimitError) as caught:
                await ledger.enter(limited)
            assert (caught.value.code, caught.value.retry_after) == ("rate_limit_exceeded", 20)
            assert (await ledger.headers(limited))["x-ratelimit-remaining-requests"] == "0"
        clock.now += 20
        await web.ledgers[1].enter(limited)

    run(test)


def test_tokens_are_reserved_spent_and_given_back_in_one_book() -> None:
    async def test(web: Web, _: Clock) -> None:
        limited = key(tokens_per_minute=1000)
        first, second = [await ledger.enter(limited) for ledger in web.ledgers]
        await first.reserve(600)
        assert first.headers()["x-ratelimit-remaining-tokens"] == "400"
        with pytest.raises(RateLimitError):
            await second.reserve(500)
        first.spend(700)
        await web.settle()
        await second.reserve(300)
        first.leave(100)
        first.leave(100)
        second.leave(300)
        await web.settle()
        assert (await web.ledgers[0].headers(limited))["x-ratelimit-remaining-tokens"] == "600"

    run(test)


def test_what_a_dead_web_side_held_is_given_back() -> None:
    async def test(web: Web, clock: Clock) -> None:
        limited = key(concurrent_requests=1)
        await web.ledgers[0].enter(limited)
        with pytest.raises(RateLimitError):
            await web.ledgers[1].enter(limited)
        clock.now += 10
        with pytest.raises(RateLimitError):
            await web.ledgers[1].enter(limited)
        clock.now += 10
        await web.ledgers[1].enter(limited)

    run(test)


def test_one_that_is_asked_for_again_counts_once() -> None:
    async def test(web: Web, _: Clock) -> None:
        limited = key(concurrent_requests=1, requests_per_minute=3)
        answers = [await web.book.enter("web", "first", limited) for _ in range(2)]
        assert [answer.refusal for answer in answers] == [None, None]
        assert answers[1].headers["x-ratelimit-remaining-requests"] == "2"
        await web.book.leave("web", "first", 0)
        assert (await web.book.enter("web", "second", limited)).refusal is None

    run(test)


def test_a_book_that_is_younger_than_a_request_lets_it_end() -> None:
    async def test(web: Web, clock: Clock) -> None:
        limited = key(tokens_per_minute=1000)
        allowance = await web.ledgers[0].enter(limited)
        web.book = LedgerBook(clock)
        await allowance.reserve(100)
        allowance.spend(500)
        allowance.leave(500)
        await web.settle()
        await (await web.ledgers[0].enter(limited)).reserve(900)

    run(test)


def test_keys_without_limits_ask_nobody() -> None:
    async def test(web: Web, _: Clock) -> None:
        allowance = await web.ledgers[0].enter(key())
        await allowance.reserve(10**9)
        allowance.leave(5)
        assert web.num_asked == 0

    run(test)
