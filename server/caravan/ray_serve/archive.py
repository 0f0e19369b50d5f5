"""One store of responses, chats and conversations for all ingresses: an actor that work is sent to."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from caravan.api.store import AsyncStore, Limits, PlaceError, StorageBusyError, Store

T = TypeVar("T")

log = logging.getLogger(__name__)

# How long an actor that is just started anew is waited for.
_PATIENCE_SECONDS = 10.0
_RETRY_SECONDS = 0.5


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

    def __init__(self, ask: Callable[..., Awaitable[Any]], lost: type[Exception], limits: Limits) -> None:
        super().__init__(None, limits)
        self._ask = ask
        self._lost = lost

    async def open(self) -> None:
        """Open the store there; raises PlaceError."""
        fault: Fault | None = await self._ask("open")
        if fault is not None:
            raise fault.error()

    async def do(self, work: Callable[[Store], T], owner: str) -> T:
        """What `AsyncStore.do` returns and raises."""
        deadline = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
        while True:
            try:
                found: T | Fault = await self._ask("do", work, owner)
                break
            except self._lost as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise StorageBusyError(
                        "The store is not there; what stores nothing is served."
                    ) from error
                log.warning("the store is lost, and asked again: %s", error)
            await asyncio.sleep(_RETRY_SECONDS)
        if isinstance(found, Fault):
            raise found.error()
        return found

    async def aclose(self) -> None:
        """Hand over what is still held; the store is others', too."""
        await self.outcomes.aclose()
        self._thread.close(wait=True)
