"""Models loaded when they are asked for, held while they are used, and unloaded for others."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from caravan.auth.principal import ANONYMOUS, Principal
from caravan.errors import EngineUnavailableError, ModelNotFoundError, ModelUnavailableError
from caravan.models import Lease, Limits, ModelRegistry, Status, keeping
from caravan.models import slot as slot_module
from caravan.models.eviction import NoRoomError
from caravan.models.loaded_model import LoadedModel
from caravan.models.loader import ModelSpec

from tests.clock import Clock
from tests.fakes_web import ScriptedEngine, loaded_model, registry_over, spec_of
from tests.waiting import PATIENCE, until


class House:
    """Three models on demand, `a`, `b` and `c`, of which two fit; their vocabularies tell when they close."""

    def __init__(
        self,
        *,
        pinned: str = "",
        load_wait_seconds: float = 60,
        idle_unload: float = 0,
        clock: Clock | None = None,
    ) -> None:
        self.engines = {name: ScriptedEngine() for name in "abc"}
        self.closed: list[str] = []
        self.registry = ModelRegistry(
            [
                spec_of(
                    self._model(name), preload=name in pinned, pinned=name in pinned, idle_unload=idle_unload
                )
                for name in self.engines
            ],
            Limits(max_loaded=2),
            load_wait_seconds=load_wait_seconds,
            clock=clock or time.monotonic,
        )

    def _model(self, name: str) -> LoadedModel:
        model = loaded_model(self.engines[name], name=name)
        object.__setattr__(model, "close", lambda: self.closed.append(name))
        return model

    @property
    def loaded(self) -> str:
        return "".join(name for name in self.engines if self.registry.status(name) is Status.LOADED)

    async def use(self, *names: str) -> None:
        for name in names:
            (await self.registry.acquire(name, ANONYMOUS)).release()


def run(test: Callable[[House], Awaitable[None]], house: House | None = None) -> None:
    """A test in a loop of its own, with a registry that is closed at the end."""

    async def body() -> None:
        made = house or House()
        await made.registry.start()
        try:
            await asyncio.wait_for(_wrapped(test(made)), PATIENCE)
        finally:
            await made.registry.close()

    asyncio.run(body())


async def _wrapped(awaitable: Awaitable[None]) -> None:
    await awaitable


def test_a_key_of_an_adapter_alone_is_told_of_that_one() -> None:
    registry = ModelRegistry(
        [replace(spec_of(loaded_model()), adapter_files={"sql": Path("a"), "chat": Path("b")})]
    )
    who = Principal(models=frozenset({"sql"}))
    assert registry.name_of("", who) == "sql"
    assert registry.name_of("", ANONYMOUS) == "fake"
    with pytest.raises(ModelNotFoundError, match=r"This server has 'sql'\.$"):
        registry.find("fake", who)
    with pytest.raises(ModelNotFoundError, match=r"This key may use none of the models\.$"):
        registry.find("fake", Principal(models=frozenset({"other"})))


async def settle() -> None:
    """Let everything that can go on do so."""
    for _ in range(50):
        await asyncio.sleep(0.001)


def background(work: Coroutine[Any, Any, Lease]) -> asyncio.Task[Lease]:
    return asyncio.create_task(work)


def test_models_are_found_by_id_and_alias() -> None:
    async def body() -> None:
        registry = registry_over(loaded_model())
        assert registry.find("fake", ANONYMOUS) is registry.find("org/other-name", ANONYMOUS)
        await registry.start()
        lease = await registry.acquire("org/other-name", ANONYMOUS)
        assert lease.model is registry.loaded("fake")
        lease.release()
        with pytest.raises(ModelNotFoundError, match="'none'"):
            registry.find("none", ANONYMOUS)
        with pytest.raises(ModelNotFoundError, match="'fake'"):
            await registry.acquire("none", ANONYMOUS)
        await registry.close()

    asyncio.run(body())


def test_an_engine_that_restarts_leaves_its_model_in_place() -> None:
    async def test(house: House) -> None:
        await house.use("a")
        readiness = []
        for is_ready in (True, False):
            house.engines["a"].is_ready = is_ready
            readiness.append(house.registry.is_ready)
        assert readiness == [True, False]
        lease = await house.registry.acquire("a", ANONYMOUS)
        assert lease.model.engine is house.engines["a"]
        assert house.engines["a"].num_starts == 1
        lease.release()

    run(test)


def test_the_least_recently_used_makes_room() -> None:
    async def test(house: House) -> None:
        assert house.registry.is_ready
        assert house.loaded == ""
        await house.use("a", "b", "a", "c")
        assert house.loaded == "ac"
        assert (house.engines["b"].closed, house.closed) == (True, ["b"])
        await house.use("b")
        assert house.loaded == "bc"

    run(test)


def test_a_model_in_use_goes_when_its_last_user_has_gone() -> None:
    async def test(house: House) -> None:
        first, second = [await house.registry.acquire("a", ANONYMOUS) for _ in range(2)]
        other = await house.registry.acquire("b", ANONYMOUS)
        coming = background(house.registry.acquire("c", ANONYMOUS))
        await until(lambda: house.registry.status("a") is Status.UNLOADING)
        assert house.registry.is_ready
        first.release()
        first.release()  # counts once
        await settle()
        assert not coming.done()
        assert not house.engines["a"].closed
        again = background(house.registry.acquire("a", ANONYMOUS))
        second.release()
        (await coming).release()
        assert house.engines["a"].num_starts == 1
        # The one asked for again finds its place at once, since `c` is not held any more.
        (await again).release()
        assert house.loaded == "ab"
        other.release()

    run(test)


def test_one_who_asks_in_the_moment_of_unloading_gets_the_model_afterwards() -> None:
    async def test(house: House) -> None:
        await house.use("a")
        unloading = asyncio.create_task(house.registry.unload("a", ANONYMOUS))
        asking = background(house.registry.acquire("a", ANONYMOUS))
        # In this order, both have begun before the model's own task of unloading has.
        (await asking).release()
        await unloading
        assert house.engines["a"].num_starts == 2

    run(test)


def test_two_models_that_take_turns_both_get_on() -> None:
    """Only one fits, and both are asked for all the time."""

    async def body() -> None:
        engines = {name: ScriptedEngine() for name in "ab"}
        registry = ModelRegistry(
            [spec_of(loaded_model(engine, name=name), preload=False) for name, engine in engines.items()],
            Limits(max_loaded=1),
        )
        served = {"a": 0, "b": 0}

        async def client(name: str) -> None:
            while min(served.values()) < 3:
                async with registry.holding(name, ANONYMOUS) as model:
                    assert model.id == name
                    assert not engines[name].closed
                    assert sum(engine.is_ready for engine in engines.values()) == 1
                    await asyncio.sleep(0.001)
                served[name] += 1

        await asyncio.wait_for(asyncio.gather(*(client(name) for name in "abab")), PATIENCE)
        await registry.close()

    asyncio.run(body())


def test_pinned_models_stay_and_leave_what_room_they_leave() -> None:
    async def test(house: House) -> None:
        assert house.loaded == "a"
        await house.use("b", "c", "b")
        assert house.loaded == "ab"

    run(test, House(pinned="a"))

    async def full(house: House) -> None:
        assert house.loaded == "ab"
        with pytest.raises(ModelUnavailableError) as caught:
            await house.registry.acquire("c", ANONYMOUS)
        assert caught.value.retry_after
        assert house.loaded == "ab"

    run(full, House(pinned="ab"))


def test_a_start_that_cannot_fit_is_refused() -> None:
    with pytest.raises(NoRoomError, match="3"):
        asyncio.run(House(pinned="abc").registry.start())


def test_all_who_ask_for_a_loading_model_cause_one_load() -> None:
    async def test(house: House) -> None:
        house.engines["a"].holds_start = True
        asking = [background(house.registry.acquire("a", ANONYMOUS)) for _ in range(5)]
        await until(lambda: house.engines["a"].num_starts == 1)
        assert house.registry.status("a") is Status.LOADING
        asking[0].cancel()
        house.engines["a"].holds_start = False
        leases = await asyncio.gather(*asking[1:])
        assert house.engines["a"].num_starts == 1
        await house.use("b")
        coming = background(house.registry.acquire("c", ANONYMOUS))
        (await coming).release()
        assert house.loaded == "ac"  # `b` was idle
        for lease in leases:
            lease.release()
        await house.use("b")
        assert house.loaded == "ab"  # those of `a` let go last

    run(test)


def test_one_who_leaves_in_the_moment_of_success_leaves_nothing_behind() -> None:
    async def test(house: House) -> None:
        for ticks in range(30):
            asking = background(house.registry.acquire("a", ANONYMOUS))
            for _ in range(ticks):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            if not asking.cancelled():
                asking.result().release()
            await asyncio.wait_for(house.registry.unload("a", ANONYMOUS), PATIENCE)
            while house.registry.status("a") is not Status.AVAILABLE:
                await house.registry.unload("a", ANONYMOUS)
                await asyncio.sleep(0.001)

    run(test)


def test_a_wait_that_is_too_long_ends_with_advice_and_the_load_goes_on() -> None:
    async def test(house: House) -> None:
        house.engines["a"].holds_start = True
        with pytest.raises(ModelUnavailableError, match="loading") as caught:
            await house.registry.acquire("a", ANONYMOUS)
        assert (caught.value.status, bool(caught.value.retry_after)) == (503, True)
        house.engines["a"].holds_start = False
        await until(lambda: house.loaded == "a")

    run(test, House(load_wait_seconds=0.05))


def test_a_load_that_fails_tells_all_and_is_tried_again_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    monkeypatch.setattr(slot_module, "time", SimpleNamespace(monotonic=clock))

    async def test(house: House) -> None:
        house.engines["a"].start_failure = RuntimeError("no such luck in /secret/place")
        asking = [background(house.registry.acquire("a", ANONYMOUS)) for _ in range(3)]
        outcomes = await asyncio.gather(*asking, return_exceptions=True)
        for outcome in outcomes:
            assert isinstance(outcome, ModelUnavailableError)
            assert "secret" not in outcome.message
        assert "/secret/place" in caplog.text
        assert house.registry.status("a") is Status.FAILED
        assert house.engines["a"].closed
        with pytest.raises(ModelUnavailableError):
            await house.registry.acquire("a", ANONYMOUS)
        assert house.engines["a"].num_starts == 1
        await house.use("b", "c")  # a failure holds no room
        assert house.loaded == "bc"

        house.engines["a"].start_failure = None
        clock.now += 1
        with pytest.raises(ModelUnavailableError):
            await house.use("a")
        clock.now += 2
        await house.use("a")
        assert house.engines["a"].num_starts == 2

    run(test)


def test_a_check_that_fails_is_a_load_that_fails() -> None:
    async def test(house: House) -> None:
        def check(model: LoadedModel) -> None:
            if model.id == "a":
                raise ValueError("unusable")

        house.registry.add_check(check)
        with pytest.raises(ModelUnavailableError):
            await house.registry.acquire("a", ANONYMOUS)
        assert (house.engines["a"].closed, house.closed) == (True, ["a"])
        await house.use("b")

    run(test)


def test_unloading_by_hand_waits_for_users() -> None:
    async def test(house: House) -> None:
        await house.registry.unload("a", ANONYMOUS)  # nothing to do
        lease = await house.registry.acquire("a", ANONYMOUS)
        unloading = asyncio.create_task(house.registry.unload("a", ANONYMOUS))
        await settle()
        assert not unloading.done()
        lease.release()
        await unloading
        assert house.registry.status("a") is Status.AVAILABLE
        assert (house.engines["a"].closed, house.closed) == (True, ["a"])
        await house.use("a")
        assert house.loaded == "a"

    run(test)


def test_closing_ends_waits_and_loads() -> None:
    async def body() -> None:
        house = House()
        held = await house.registry.acquire("b", ANONYMOUS)
        house.engines["a"].holds_start = True
        asking = background(house.registry.acquire("a", ANONYMOUS))
        await settle()
        await house.registry.close()
        with pytest.raises(EngineUnavailableError):
            await asking
        with pytest.raises(EngineUnavailableError):
            await house.registry.acquire("c", ANONYMOUS)
        assert house.engines["a"].closed
        assert house.engines["b"].closed
        assert house.closed == ["a"]
        held.release()
        await house.registry.close()
        assert house.closed == ["a", "b"]

    asyncio.run(asyncio.wait_for(body(), PATIENCE))


def test_what_nobody_uses_is_unloaded_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "_KEEP_SECONDS", 0.001)
    clock = Clock()

    async def test(house: House) -> None:
        lease = await house.registry.acquire("a", ANONYMOUS)
        clock.now += 100
        await settle()
        assert house.loaded == "ac"  # it is in use, and the other is pinned
        lease.release()
        clock.now += 9
        await settle()
        assert house.loaded == "ac"
        clock.now += 1
        await until(lambda: house.closed == ["a"])
        assert house.loaded == "c"
        await house.use("a")
        await settle()
        assert house.loaded == "ac"

    run(test, House(pinned="c", idle_unload=10, clock=clock))


def test_adapters_of_a_model_do_not_wait_for_the_load_of_another() -> None:
    async def test() -> None:
        registry = House().registry
        waiting, other = (slot for slot in registry._slots if slot.spec.id in "ab")
        for slot in (waiting, other):
            files = {f"of {slot.spec.id}": Path("file")}
            adapted = partial(with_files, slot.spec)
            slot.spec = replace(slot.spec, adapter_files=files, adapted=adapted)
            registry._by_name[f"of {slot.spec.id}"] = slot
        loaded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        slot_loading = asyncio.ensure_future(_outcome(loaded))
        waiting.loading = slot_loading
        removing = asyncio.create_task(registry.remove_adapter("a", "of a", ANONYMOUS))
        await asyncio.sleep(0)
        await registry.remove_adapter("b", "of b", ANONYMOUS)
        assert not other.spec.adapters
        assert waiting.spec.adapters
        loaded.set_result(None)
        await slot_loading
        waiting.loading = None
        await removing
        assert not waiting.spec.adapters

    async def timed() -> None:
        async with asyncio.timeout(PATIENCE):
            await test()

    asyncio.run(timed())


async def _outcome(loaded: asyncio.Future[None]) -> Exception | None:
    await loaded
    return None


def with_files(spec: ModelSpec, files: Mapping[str, Path]) -> ModelSpec:
    return replace(spec, adapter_files=files)
