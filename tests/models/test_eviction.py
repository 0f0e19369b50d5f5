"""Whose models are unloaded for whom: how often a key may take one from others, by a clock of the test."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import pytest
from caravan.auth.principal import Principal
from caravan.models import Limits, ModelRegistry, Status
from caravan.models.eviction import Evictions, LoadedEntry
from caravan.models.slot import Lease, Users
from caravan.sizing.sizes import Need

from tests.clock import Clock
from tests.fakes_web import ScriptedEngine, loaded_model, spec_of
from tests.waiting import PATIENCE, until

STAY = 60.0


class House:
    """Models on demand, of which `num_fitting` fit, and keys that ask for them."""

    def __init__(self, num_fitting: int = 1, stay_seconds: float = STAY, preload: str = "") -> None:
        self.clock = Clock()
        self.engines = {name: ScriptedEngine() for name in "abcdv"}
        self.registry = ModelRegistry(
            [
                spec_of(loaded_model(engine, name=name), preload=name in preload)
                for name, engine in self.engines.items()
            ],
            Limits(max_loaded=num_fitting),
            stay_seconds=stay_seconds,
            clock=self.clock,
        )

    async def hold(self, key: str, name: str) -> Lease:
        """A model in the hands of a key."""
        return await self.registry.acquire(name, Principal(id=key, name=key))

    async def use(self, key: str, *names: str) -> None:
        for name in names:
            (await self.hold(key, name)).release()

    async def must_wait(self, key: str, name: str) -> "asyncio.Task[None]":
        """A use that is not served for now."""
        asking = asyncio.create_task(self.use(key, name))
        await asyncio.sleep(0.2)
        assert not asking.done(), f"{key} was served {name}"
        return asking

    def is_loaded(self, name: str) -> bool:
        return self.registry.status(name) is Status.LOADED


def run(test: Callable[[House], Awaitable[None]], house: House | None = None) -> None:
    async def body() -> None:
        made = house or House()
        await made.registry.start()
        try:
            async with asyncio.timeout(PATIENCE):
                await test(made)
        finally:
            await made.registry.close()

    asyncio.run(body())


def test_a_key_that_cycles_takes_anothers_model_twice_and_then_waits() -> None:
    async def test(house: House) -> None:
        await house.use("victim", "v")
        for name in "ab":
            await house.use("cycler", name)
            await house.use("victim", "v")
        asking = await house.must_wait("cycler", "c")
        for _ in range(5):
            await house.use("victim", "v")
            house.clock.now += 5
        assert house.engines["v"].num_starts == 3
        assert house.is_loaded("v")
        house.clock.now += STAY
        await asking
        assert house.is_loaded("c")

    run(test)


def test_what_was_taken_a_while_ago_counts_no_more() -> None:
    async def test(house: House) -> None:
        for name in "ab":
            await house.use("victim", "v")
            await house.use("cycler", name)
        await house.use("victim", "v")
        house.clock.now += STAY - 1
        await house.use("victim", "v")
        house.clock.now += 2
        await house.use("cycler", "c")

    run(test)


def test_a_stream_of_another_key_holds_its_model_as_long_as_it_runs() -> None:
    async def test(house: House) -> None:
        for name in "ab":
            await house.use("victim", "v")
            await house.use("cycler", name)
        lease = await house.hold("victim", "v")
        asking = await house.must_wait("cycler", "c")
        await house.use("victim", "v")
        lease.release()
        house.clock.now += STAY + 1
        await asking

    run(test)


def test_one_that_is_being_loaded_for_another_key_is_not_taken_either() -> None:
    async def test(house: House) -> None:
        for name in "ab":
            await house.use("victim", "v")
            await house.use("cycler", name)
        house.engines["v"].holds_start = True
        coming = asyncio.create_task(house.use("victim", "v"))
        asking = await house.must_wait("cycler", "c")
        house.engines["v"].holds_start = False
        await coming
        assert house.is_loaded("v")
        await house.use("victim", "v")
        assert not asking.done()
        asking.cancel()

    run(test)


def test_a_key_may_do_with_its_own_models_what_it_likes() -> None:
    """Also beside another's, which then is not the one to go."""

    async def test(house: House) -> None:
        await house.use("victim", "v")
        for name in itertools.islice(itertools.cycle("abcd"), 12):
            await house.use("cycler", name)
        # The third time it would have been: the model that others use stays, and its own go.
        await house.use("victim", "v")
        starts = house.engines["v"].num_starts
        for name in itertools.islice(itertools.cycle("abcd"), 12):
            await house.use("cycler", name)
            await house.use("victim", "v")
        assert house.engines["v"].num_starts <= starts + 2

    run(test, House(num_fitting=2))


@pytest.mark.parametrize("key", ["", "alone"])
def test_who_is_alone_waits_for_nothing(key: str) -> None:
    async def test(house: House) -> None:
        for name in itertools.islice(itertools.cycle("abcd"), 10):
            await house.use(key, name)

    run(test)


def test_nothing_is_limited_where_the_operator_says_so() -> None:
    async def test(house: House) -> None:
        for name in itertools.islice(itertools.cycle("abcd"), 8):
            await house.use("victim", "v")
            await house.use("cycler", name)

    run(test, House(stay_seconds=0))


def test_who_has_taken_nothing_is_served_although_another_waits_for_the_same() -> None:
    async def test(house: House) -> None:
        for name in "ab":
            await house.use("victim", "v")
            await house.use("cycler", name)
        await house.use("victim", "v")
        asking = await house.must_wait("cycler", "c")
        await house.use("third", "c")
        await asking

    run(test)


def test_keys_in_league_take_a_model_three_times_and_then_wait() -> None:
    async def test(house: House) -> None:
        for number, owner in enumerate(("victim", "victim", "another")):
            await house.use(owner, "v")
            await house.use(f"cycler{number}", "a")
        await house.use("third", "v")
        asking = await house.must_wait("cycler3", "a")
        assert house.is_loaded("v")
        house.clock.now += STAY + 1
        await asking

    run(test)


def test_who_hangs_up_takes_nothing_with_that() -> None:
    async def test(house: House) -> None:
        for name in "ab":
            await house.use("victim", "v")
            await house.use("cycler", name)
        await house.use("victim", "v")
        for name in "abcd":
            asking = asyncio.create_task(house.use("cycler", name))
            for _ in range(3):
                await asyncio.sleep(0)
            assert house.registry.status(name) is Status.LOADING
            asking.cancel()
        await until(lambda: house.is_loaded("v"))
        await until(lambda: {house.registry.status(name) for name in "abcd"} == {Status.AVAILABLE})

    run(test)


def test_the_books_forget() -> None:
    clock = Clock()
    users, evictions = Users(STAY, clock), Evictions(Limits(max_loaded=1), stay_seconds=STAY, clock=clock)
    occupant = LoadedEntry(
        id="v", need=Need(), is_pinned=False, is_busy=False, last_used=1, has_others=users.has_others
    )
    for number in range(100):
        users.begin(f"key{number}")
        users.end(f"key{number}")
        evictions.choose([occupant], Need(), [f"other{number}"])
        clock.now += 10
    for book in (users, evictions._by_key, evictions._of_model):
        assert max(len(kept) for kept in vars(book).values() if isinstance(kept, dict)) <= 7
