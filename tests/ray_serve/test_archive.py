"""A store elsewhere answers and fails as one here, and work for it holds nothing that cannot go there."""

import asyncio
import pickle
import types
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from caravan.api.store import Limits, Shelf, StorageBusyError, Store
from caravan.api.store.errors import NotStoredError
from caravan.auth.principal import Principal
from caravan.ray_serve.archive import ArchiveActor, RemoteStore

LIMITS = Limits(max_seconds=1e6, max_bytes=1 << 30)
WHO = Principal(id="key")


class GoneError(Exception):
    """What a call of an actor raises that has died."""


def check_plain(value: object) -> None:
    """Functions go by their code and what they hold; all else has to be pickled as it is."""
    if isinstance(value, types.FunctionType):
        for cell in value.__closure__ or ():
            check_plain(cell.cell_contents)
        return
    if isinstance(value, types.MethodType):
        check_plain(value.__self__)
        return
    assert pickle.loads(pickle.dumps(value)) == value


class Elsewhere:
    """An actor in this process, of which only plain values are taken."""

    def __init__(self) -> None:
        self.actor = ArchiveActor(None, LIMITS)
        self.num_deaths = 0

    async def ask(self, name: str, *arguments: Any) -> Any:  # noqa: ANN401 (what an actor answers)
        if self.num_deaths:
            self.num_deaths -= 1
            raise GoneError("it died")
        for argument in arguments:
            check_plain(argument)
        answer = await getattr(self.actor, name)(*arguments)
        return pickle.loads(pickle.dumps(answer))


def run(test: Callable[[RemoteStore, Elsewhere], Awaitable[None]]) -> None:
    async def main() -> None:
        elsewhere = Elsewhere()
        store = RemoteStore(elsewhere.ask, GoneError, LIMITS)
        await store.open()
        try:
            await test(store, elsewhere)
        finally:
            await store.aclose()

    asyncio.run(main())


def test_all_that_a_shelf_does() -> None:
    async def test(store: RemoteStore, _: Elsewhere) -> None:
        shelf = Shelf(store, "conversation")
        record = shelf.record("conv_1", WHO.id, b'{"id":"conv_1","metadata":{}}', {"a": "b"}, [])
        await store.do(record.keep, WHO.id)
        assert b"conv_1" in await shelf.text("conv_1", WHO)
        assert b'"c"' in await shelf.label("conv_1", {"c": "d"}, WHO)
        assert b'"data":[]' in await shelf.items("conv_1", None, None, "asc", WHO)
        with pytest.raises(NotStoredError) as caught:
            await shelf.text("conv_1", Principal(id="other"))
        assert (caught.value.status, caught.value.code) == (404, "conversation_not_found")
        await shelf.delete("conv_1", WHO)
        with pytest.raises(NotStoredError):
            await shelf.text("conv_1", WHO)

    run(test)


def test_errors_come_as_they_were() -> None:
    def fail(_: Store) -> None:
        raise StorageBusyError("it is full")

    async def test(store: RemoteStore, _: Elsewhere) -> None:
        with pytest.raises(StorageBusyError, match="it is full") as caught:
            await store.do(fail, "key")
        assert caught.value.retry_after == 5

    run(test)


def test_a_store_that_dies_is_asked_again() -> None:
    async def test(store: RemoteStore, elsewhere: Elsewhere) -> None:
        elsewhere.num_deaths = 1
        await store.do(Store.check, "key")
        assert elsewhere.num_deaths == 0

    run(test)
