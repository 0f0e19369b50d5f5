"""One store of responses, chats and conversations for all ingresses: an actor that work is sent to."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from caravan.api.store import AsyncStore, Limits, PlaceError, StorageBusyError, Store
from caravan.ray_serve.patience import Ask, patient

T = TypeVar("T")


@dataclass(frozen=True)
class Fault:
    """An exception that work has raised, in parts: not all of them can be made from their message."""

    kind: type[Exception]
    args: tuple[Any, ...]
    state: dict[str, Any]

    @classmethod
    def of(cls, error: Exception) -> "Fault":
        """Take an exception apart."""
        return cls(type(error), error.args, dict(error.__dict__))

    def error(self) -> Exception:
        """Make the exception again."""
        error = self.kind.__new__(self.kind)
        error.args = self.args
        error.__dict__.update(self.state)
        return error


class ArchiveActor:
    """The actor: the store of the machine that it is on."""

    def __init__(self, path: Path | None, limits: Limits) -> None:
        self._store = AsyncStore(path, limits)

    async def open(self) -> Fault | None:
        """Open the store."""
        try:
            await self._store.open()
        except PlaceError as error:
            return Fault.of(error)
        return None

    async def do(self, work: Callable[[Store], Any], owner: str) -> Any:  # noqa: ANN401 (the work's)
        """What work on the store comes to, or the fault that it raises."""
        try:
            return await self._store.do(work, owner)
        except Exception as error:
            return Fault.of(error)


class RemoteStore(AsyncStore):
    """An `AsyncStore` whose store is the actor's. `ask` calls a method of that; `lost` what it raises where
    the actor is gone, which is started anew.
    """

    def __init__(self, ask: Ask, lost: type[Exception], limits: Limits) -> None:
        super().__init__(None, limits)
        self._ask = patient(ask, lost)
        self._lost = lost

    async def open(self) -> None:
        """Open the store there; raises PlaceError."""
        fault: Fault | None = await self._ask("open")
        if fault is not None:
            raise fault.error()

    async def do(self, work: Callable[[Store], T], owner: str) -> T:
        """What `AsyncStore.do` returns and raises."""
        try:
            found: T | Fault = await self._ask("do", work, owner)
        except self._lost as error:
            raise StorageBusyError("The store is not there; what stores nothing is served.") from error
        if isinstance(found, Fault):
            raise found.error()
        return found

    async def aclose(self) -> None:
        """Hand over what is still held; the store is others', too."""
        await self.outcomes.aclose()
        self._thread.close(wait=True)
