"""Embedding requests that an engine's process has not finished, seen from the asyncio side."""

import asyncio
from collections.abc import AsyncGenerator

from caravan.engine.embedding.values import EmbedOutput, EmbedRequest
from caravan.engine.ipc import messages
from caravan.engine.ipc.child_process import ChildProcess
from caravan.errors import CaravanError, EngineFailedError, MemoryShortError

# Other models and programs may have given memory back by then.
_RETRY_SECONDS = 30


class EmbeddingCalls:
    """A queue for each request. All methods belong to one event loop."""

    def __init__(self) -> None:
        self._queues: dict[str, asyncio.Queue[EmbedOutput | CaravanError]] = {}

    @property
    def count(self) -> int:
        """How many are unfinished."""
        return len(self._queues)

    async def run(self, child: ChildProcess, request: EmbedRequest) -> AsyncGenerator[EmbedOutput, None]:
        """One output for each input. Closing the generator early aborts the request.

        Raises EngineFailedError, MemoryShortError, or what it is failed with.
        """
        queue: asyncio.Queue[EmbedOutput | CaravanError] = asyncio.Queue()
        self._queues[request.id] = queue
        unfinished = len(request.inputs)
        try:
            child.send(messages.Embed(request))
            while unfinished:
                output = await queue.get()
                if isinstance(output, CaravanError):
                    raise output
                if output.is_memory_short:
                    raise MemoryShortError(output.error or "", retry_after=_RETRY_SECONDS)
                if output.error is not None:
                    raise EngineFailedError(output.error)
                unfinished -= 1
                yield output
        finally:
            del self._queues[request.id]
            if unfinished:
                child.send(messages.Abort(request.id))

    def dispatch(self, outputs: list[EmbedOutput]) -> None:
        """Hand out what the engine says."""
        for output in outputs:
            queue = self._queues.get(output.request_id)
            if queue is not None:
                queue.put_nowait(output)

    def fail(self, request_id: str, error: CaravanError) -> None:
        """End one of them, if it has not ended."""
        if (queue := self._queues.get(request_id)) is not None:
            queue.put_nowait(error)

    def fail_all(self, reason: str) -> None:
        """End all of them."""
        for queue in self._queues.values():
            queue.put_nowait(EngineFailedError(reason))
