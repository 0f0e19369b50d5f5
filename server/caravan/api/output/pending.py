"""An answer from the moment its request is read, when its model may still have to be loaded."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

from caravan.api.output.answer import Answer
from caravan.models import Lease, ModelRegistry
from caravan.models.loaded_model import LoadedModel
from caravan.observability import request_metrics
from caravan.runtime.tasks import fail_early, give_up
from caravan.runtime.threads import to_the_end


class PendingAnswer:
    """Holds the request's model until the answer ends. `aclose` must follow, on every path.

    `stream` says which of `events` and `whole` the request asked for; `open` comes before `events`.
    """

    def __init__(
        self,
        registry: ModelRegistry,
        name: str,
        prepare: Callable[[LoadedModel], Awaitable[Answer]],
        *,
        stream: bool,
    ) -> None:
        self.stream = stream
        self._registry = registry
        self._name = name
        self._prepare = prepare
        self._lease: Lease | None = None
        self._answer: Answer | None = None
        self._opening: asyncio.Task[Answer] | None = None

    async def whole(self) -> list[bytes]:
        """The JSON of the complete answer, in pieces."""
        try:
            return await (await self._prepared()).whole()
        finally:
            await self.aclose()

    async def open(self, seconds: float) -> None:
        """Start, and wait for the first output or `seconds`; a failure before that is raised here."""
        self._opening = asyncio.create_task(self._opened(seconds))
        await fail_early(self._opening, seconds)

    async def events(self) -> AsyncGenerator[Sequence[bytes], None]:
        """The data of the events, `[DONE]` included, those together that are there together."""
        assert self._opening is not None
        answer = await self._opening
        events = answer.events()
        try:
            async for together in events:
                yield together
        finally:
            await events.aclose()

    async def aclose(self) -> None:
        """End the run in the engine, if it has not ended, and let the model go."""
        await to_the_end(self._close())

    async def _close(self) -> None:
        if self._opening is not None:
            await give_up(self._opening)
        if self._answer is not None:
            await self._answer.aclose()
        if self._lease is not None:
            self._lease.release()

    async def _prepared(self) -> Answer:
        self._lease = await self._registry.acquire(self._name)
        request_metrics.current().requested_model = self._name
        self._answer = await self._prepare(self._lease.model)
        return self._answer

    async def _opened(self, seconds: float) -> Answer:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        answer = await self._prepared()
        await answer.open(max(0.0, deadline - loop.time()))
        return answer
