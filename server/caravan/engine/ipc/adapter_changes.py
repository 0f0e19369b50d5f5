"""Adapters that come and go while an engine runs, on the server's side."""

import asyncio
from collections.abc import Collection

import msgspec

from caravan.engine.ipc import messages
from caravan.engine.ipc.supervisor import Supervisor
from caravan.errors import InvalidRequestError

_LOOK_SECONDS = 0.1


class AdapterChanges:
    """Has the present process of an engine load or forget adapters, and every later one know of it. Belongs
    to the engine's event loop; one change of a name at a time.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._asked: dict[str, asyncio.Future[str | None]] = {}

    @property
    def missing(self) -> Collection[str]:
        """Those that were added and that the present process could not load again."""
        child = self._supervisor.child
        return () if child is None else child.missing_adapters

    async def add(self, name: str, path: str) -> None:
        """Load a LoRA adapter, and have every later process of the engine load it, if it can.

        Raises InvalidRequestError over a file that is none for this model, and EngineUnavailableError.
        """
        if (fault := await self._ask(messages.AddAdapter(name, path))) is not None:
            raise InvalidRequestError(fault, param="path", code="invalid_adapter")
        config = self._supervisor.config
        known = (*config.added_adapters, (name, path))
        self._supervisor.config = msgspec.structs.replace(config, added_adapters=known)

    async def remove(self, name: str) -> None:
        """Forget an adapter and all that was computed with it, once no request in the engine uses it.

        Raises EngineUnavailableError while there is no process, and then it is to be asked again: the next
        one may have been told of the adapter already. Those after it do not load it.
        """
        config = self._supervisor.config
        self._supervisor.config = msgspec.structs.replace(
            config,
            adapters=tuple(known for known in config.adapters if known[0] != name),
            added_adapters=tuple(known for known in config.added_adapters if known[0] != name),
        )
        while await self._ask(messages.RemoveAdapter(name)) is not None:
            await asyncio.sleep(_LOOK_SECONDS)
        if (child := self._supervisor.child) is not None:
            child.missing_adapters.discard(name)

    def hear(self, message: messages.AdapterChanged) -> None:
        """Take the engine's answer."""
        if (told := self._asked.get(message.name)) and not told.done():
            told.set_result(message.fault)

    def lose(self, reason: str) -> None:
        """The process has ended, with all that was asked of it."""
        for told in [told for told in self._asked.values() if not told.done()]:
            told.set_result(reason)

    async def _ask(self, change: messages.AddAdapter | messages.RemoveAdapter) -> str | None:
        """Have the engine change something; why it has not, or None."""
        child = self._supervisor.taking()
        told: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._asked[change.name] = told
        try:
            child.send(change)
            return await told
        finally:
            del self._asked[change.name]
