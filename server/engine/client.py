"""The engine's face on the asyncio side: requests in, outputs out, and a process kept alive behind it."""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import AsyncGenerator

import msgspec

from server.engine import messages
from server.engine.child import EngineChild, EngineStartError, FirstPromptDeathError, relay
from server.engine.config import EngineConfig
from server.engine.embedding import EmbedOutput, EmbedRequest, ModelTraits
from server.engine.embedding_calls import EmbeddingCalls
from server.engine.mailbox import Item, Mailbox
from server.engine.outputs import EngineStats, FinishReason, TokenOutput
from server.engine.params import GenerationRequest
from server.engine.sizing import Need, Sizes
from server.errors import (
    ConstraintFailedError,
    EngineFailedError,
    EngineUnavailableError,
    OverloadedError,
)

log = logging.getLogger(__name__)

_FIRST_BACKOFF = 0.25
_LONGEST_BACKOFF = 30.0
# A child that lived this long had no trouble starting; the next restart is quick again.
_STABLE_SECONDS = 60.0
# Longest silence of an engine that has work. A step takes well under a second, so this one hangs.
_STALL_SECONDS = 300.0
# Advice to clients that come while the queue is full.
_BUSY_RETRY_SECONDS = 5


class AsyncEngine:
    """One model's engine in a child process that is started anew when it dies.

    All methods belong to the event loop that called `start`.
    """

    def __init__(self, config: EngineConfig, *, stall_seconds: float = _STALL_SECONDS) -> None:
        self._wanted = config
        self._stall_seconds = stall_seconds
        self._child: EngineChild | None = None
        self._mailboxes: dict[str, Mailbox] = {}
        self._embeddings = EmbeddingCalls()
        self._stats = EngineStats()
        self._traits = ModelTraits()
        self._sizes: Sizes | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._backoff = _FIRST_BACKOFF
        self._start_seconds = 0.0
        self._last_heard = 0.0
        self._num_restarts = 0
        self._num_choices = 0

    async def start(self) -> None:
        """Start the child and wait until it is ready; raises EngineStartError."""
        child = await self._start_child()
        self._child = child
        self._supervisor = asyncio.create_task(self._supervise(child), name="engine supervisor")

    async def close(self) -> None:
        """End the child; requests that still run end with an error."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._supervisor
            self._supervisor = None
        if self._child is not None:
            await self._child.stop()
            self._child = None
        self._fail_all("the server is shutting down")

    @property
    def is_ready(self) -> bool:
        """Whether a request sent now would be taken."""
        return self._child is not None

    @property
    def config(self) -> EngineConfig:
        """The sizes in use; those left open are filled in once the engine has started."""
        return self._wanted

    @property
    def sizes(self) -> Sizes | None:
        """What the engine has settled on; None before it has started."""
        return self._sizes

    @property
    def need(self) -> Need:
        """What it may take by estimate; nothing before it has started."""
        return Need() if self._sizes is None else self._sizes.need

    @property
    def context_size(self) -> int:
        """Tokens that one sequence may have, prompt and answer together; valid after `start`."""
        return self._wanted.context_size

    @property
    def traits(self) -> ModelTraits:
        """What the model can do; valid after `start`."""
        return self._traits

    @property
    def num_restarts(self) -> int:
        """How often the child was started anew after it had ended."""
        return self._num_restarts

    @property
    def pid(self) -> int | None:
        """Process id of the child, None while there is none."""
        return None if self._child is None else self._child.pid

    def stats(self) -> EngineStats:
        """The engine's books, as of its last message."""
        return self._stats

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[TokenOutput, None]:
        """Outputs of all choices as they come, each choice closed by its finish reason.

        Closing the generator early aborts the request within one step. Raises EngineUnavailableError while no
        child is up, OverloadedError when too many requests wait or this one has waited too long,
        ConstraintFailedError when its constraint leaves no way on, and EngineFailedError when the engine
        fails it.
        """
        child = self._child
        if child is None:
            raise EngineUnavailableError("the engine is restarting", retry_after=self._retry_after())
        if self._num_choices + request.n > self._wanted.max_running + self._wanted.max_waiting:
            raise OverloadedError("Too many requests wait for this model.", retry_after=_BUSY_RETRY_SECONDS)
        mailbox = Mailbox()
        self._num_choices += request.n
        self._mailboxes[request.id] = mailbox
        unfinished = request.n
        try:
            child.send(messages.Submit(request))
            while unfinished:
                for item in await mailbox.take():
                    output = _checked(item, request)
                    unfinished -= output.finish_reason is not None
                    yield output
        finally:
            del self._mailboxes[request.id]
            self._num_choices -= request.n
            if unfinished:
                child.send(messages.Abort(request.id))

    async def embed(self, request: EmbedRequest) -> AsyncGenerator[EmbedOutput, None]:
        """The vector of each input, as they come; raises what `generate` raises.

        Closing the generator early aborts the request.
        """
        child = self._child
        if child is None:
            raise EngineUnavailableError("the engine is restarting", retry_after=self._retry_after())
        if self._embeddings.count >= self._wanted.max_waiting:
            raise OverloadedError("Too many requests wait for this model.", retry_after=_BUSY_RETRY_SECONDS)
        async with contextlib.aclosing(self._embeddings.run(child, request)) as outputs:
            async for output in outputs:
                yield output

    async def _supervise(self, child: EngineChild) -> None:
        """Read from the child; when it ends, fail what ran there and start another, for ever."""
        while True:
            started = time.monotonic()
            await self._read(child)
            self._child = None
            status = await child.kill()
            log.error("the engine of %s ended (status %d); restarting", self._wanted.model_path, status)
            self._fail_all("the engine ended unexpectedly")
            if time.monotonic() - started > _STABLE_SECONDS:
                self._backoff = _FIRST_BACKOFF
            child = await self._restart()
            self._child = child
            self._num_restarts += 1

    async def _read(self, child: EngineChild) -> None:
        """Hand out what the child says until it ends, or says nothing for too long while it has work."""
        self._last_heard = time.monotonic()
        reading = asyncio.create_task(self._hand_out(child), name="engine reader")
        try:
            while not reading.done():
                await asyncio.wait([reading], timeout=self._stall_seconds / 10)
                if not self._mailboxes and not self._embeddings.count:
                    self._last_heard = time.monotonic()
                elif time.monotonic() - self._last_heard > self._stall_seconds:
                    log.error("the engine was silent for %.0f s with requests running", self._stall_seconds)
                    return
            reading.result()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _hand_out(self, child: EngineChild) -> None:
        while (message := await child.receive()) is not None:
            self._last_heard = time.monotonic()
            if isinstance(message, messages.Logged):
                relay(message)
            elif isinstance(message, messages.Stepped):
                self._stats = message.stats
                self._dispatch(message.outputs)
            elif isinstance(message, messages.Embedded):
                self._embeddings.dispatch(message.outputs)

    def _dispatch(self, outputs: list[TokenOutput]) -> None:
        for output in outputs:
            mailbox = self._mailboxes.get(output.request_id)
            if mailbox is not None:
                mailbox.put(output)

    def _fail_all(self, reason: str) -> None:
        for mailbox in self._mailboxes.values():
            mailbox.put(EngineFailedError(reason))
        self._embeddings.fail_all(reason)

    async def _restart(self) -> EngineChild:
        while True:
            await asyncio.sleep(self._backoff)
            self._backoff = min(2 * self._backoff, _LONGEST_BACKOFF)
            try:
                return await self._start_child()
            except EngineStartError as error:
                log.error("the engine does not start: %s; next try in %.1f s", error, self._backoff)

    async def _start_child(self) -> EngineChild:
        """Start a child; one that dies in its first prompt gets a second chance with plain kernels."""
        begun = time.monotonic()
        level = logging.getLogger().getEffectiveLevel()
        try:
            child = await EngineChild.start(self._wanted, level)
        except FirstPromptDeathError as error:
            if not self._wanted.use_extra_buffers:
                raise
            log.warning("the engine %s; starting again with use_extra_bufts off: slower, but safe", error)
            self._wanted = msgspec.structs.replace(self._wanted, use_extra_buffers=False)
            child = await EngineChild.start(self._wanted, level)
        self._wanted, self._sizes = child.sizes.config, child.sizes
        self._traits = child.traits
        self._start_seconds = time.monotonic() - begun
        return child

    def _retry_after(self) -> int:
        return max(1, math.ceil(self._backoff + self._start_seconds))


def _checked(item: Item, request: GenerationRequest) -> TokenOutput:
    """An output that may go on to the client; failures are raised."""
    if isinstance(item, EngineFailedError):
        raise item
    if item.finish_reason is FinishReason.ERROR:
        raise EngineFailedError(item.error or "the engine failed")
    if item.finish_reason is FinishReason.UNSATISFIABLE and request.constraint is not None:
        param = request.constraint.param
        raise ConstraintFailedError(f"'{param}' cannot be kept to: {item.error}.", param=param or None)
    if item.finish_reason is FinishReason.EXPIRED:
        message = "The request has waited too long for its turn."
        raise OverloadedError(message, retry_after=_BUSY_RETRY_SECONDS)
    if item.finish_reason is FinishReason.ABORT:
        raise EngineFailedError("the engine is shutting down")
    return item
