"""How long a model stays behind a request that says so, by a clock of the test."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from caravan.auth.principal import Principal
from caravan.models import ModelRegistry, Status, keeping
from caravan_schemas.keep_alive import seconds_of

from tests.clock import Clock
from tests.fakes_web import loaded_model, spec_of
from tests.waiting import PATIENCE, until

STAY = 60.0


class House:
    """One model, for keys that say how long it is to stay."""

    def __init__(self, idle_unload: float = 0, *, pinned: bool = False) -> None:
        self.clock = Clock()
        spec = spec_of(loaded_model(), preload=False, pinned=pinned, idle_unload=idle_unload)
        self.spec = spec
        self.registry = ModelRegistry([spec], stay_seconds=STAY, clock=self.clock)

    async def use(self, stay: float | None, key: str = "key") -> None:
        async with self.registry.holding("fake", Principal(id=key, name=key), stay):
            pass

    async def stays(self, seconds: float) -> bool:
        """Whether it is still there so many seconds later."""
        self.clock.now += seconds
        for _ in range(50):
            await asyncio.sleep(0.001)
        return self.registry.status("fake") is Status.LOADED

    async def goes(self, seconds: float) -> None:
        """Wait until it is gone, so many seconds later."""
        self.clock.now += seconds
        await until(lambda: self.registry.status("fake") is Status.AVAILABLE)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "_KEEP_SECONDS", 0.001)


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


def test_the_last_request_says_how_long() -> None:
    async def test(house: House) -> None:
        await house.use(10)
        assert await house.stays(9)
        await house.goes(1)
        await house.use(0)
        await house.goes(0)
        await house.use(0)
        await house.use(None)
        assert await house.stays(1e9)
        await house.use(5)
        await house.use(-1)
        assert await house.stays(1e9)

    run(test)


def test_a_running_request_holds_it() -> None:
    async def test(house: House) -> None:
        lease = await house.registry.acquire("fake", Principal(id="key"))
        await house.use(0)
        assert await house.stays(100)
        lease.stay = 0
        lease.release()
        await house.goes(0)

    run(test)


def test_no_request_keeps_it_longer_than_the_operator() -> None:
    async def test(house: House) -> None:
        for stay in (-1, 3600, None):
            await house.use(stay)
            assert await house.stays(9)
            await house.goes(1)
        await house.use(4)
        await house.goes(4)

    run(test, House(idle_unload=10))


def test_no_request_takes_it_from_other_keys() -> None:
    async def test(house: House) -> None:
        await house.use(None, "other")
        await house.use(0)
        assert await house.stays(STAY - 1)
        await house.goes(1)

    run(test)


def test_pinned_models_stay() -> None:
    async def test(house: House) -> None:
        await house.use(0)
        assert await house.stays(1e9)

    run(test, House(pinned=True))


@pytest.mark.parametrize(
    ("house", "possible", "impossible"),
    [
        (House(), (0, 5, -1, 1e9), ()),
        (House(10), (0, 10), (11, -1)),
        (House(pinned=True), (-1,), (0, 5)),
        (House(10, pinned=True), (-1,), (0, 5)),
    ],
)
def test_what_can_be_is_known(
    house: House, possible: tuple[float, ...], impossible: tuple[float, ...]
) -> None:
    assert all(house.spec.may_stay(seconds) for seconds in possible)
    assert not any(house.spec.may_stay(seconds) for seconds in impossible)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (5, 5),
        (-1.5, -1.5),
        ("5m", 300),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("90", 90),
        ("-1", -1),
        ("-1m", -60),
        ("+2s", 2),
        (" 0 ", 0),
        ("250ms", 0.25),
        ("1us", 1e-6),
        (".5s", 0.5),
    ],
)
def test_durations_are_read_as_go_writes_them(text: str | float, seconds: float) -> None:
    assert seconds_of(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "-", "m", "5 m", "5x", "m5", "1h-3m", "1e3s", "nan", "inf", "٣s", "--1", "1." * 200, "9" * 99],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        seconds_of(text)
