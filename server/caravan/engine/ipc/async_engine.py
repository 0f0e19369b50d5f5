"""The engine's face on the asyncio side: requests in, outputs out, and a process kept alive behind it."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable, Collection, Generator

from caravan.config.engine_config import EngineConfig
from caravan.engine.embedding.values import EmbedOutput, EmbedRequest, ModelTraits
from caravan.engine.ipc import messages
from caravan.engine.ipc.adapter_changes import AdapterChanges
from caravan.engine.ipc.block_feed import BlockFeed, Listener
from caravan.engine.ipc.output_queue import OutputQueue, checked, checked_vector, overloaded
from caravan.engine.ipc.supervisor import Supervisor
from caravan.engine.ipc.watchdog import WatchLimits
from caravan.engine.outputs import EngineStats, TokenOutput
from caravan.engine.params import GenerationRequest
from caravan.errors import EngineFailedError, InvalidRequestError
from caravan.llama.model_file import FileChange
from caravan.runtime.shared_limit import Place, SharedLimit
from caravan.sizing.sizes import Need, Sizes

log = logging.getLogger(__name__)

# Longest silence of an engine that has work, in whatever state it is: it has lost a request.
_STALL_SECONDS = 300.0


class AsyncEngine:
    """One model's engine in a child process that is started anew when it dies or hangs.

    All methods belong to the event loop that called `start`.
    """

    def __init__(
        self,
        config: EngineConfig,
        *,
        watch: WatchLimits | None = None,
        stall_seconds: float = _STALL_SECONDS,
    ) -> None:
        self._blocks = BlockFeed(self._send)
        self._supervisor = Supervisor(
            config, watch or WatchLimits(), self._hear, self._lose, self._blocks.begin
        )
        self._stall_seconds = stall_seconds
        self._outputs: dict[str, OutputQueue] = {}
        self._requests: dict[str, GenerationRequest | EmbedRequest] = {}
        self._stats = EngineStats()
        self._traits = ModelTraits()
        self._sizes: Sizes | None = None
        self.adapters = AdapterChanges(self._supervisor)
        self._stalling: asyncio.Task[None] | None = None
        self._last_heard = 0.0
        self._queue, self._embedding_queue = SharedLimit(0), SharedLimit(0)
        # Background work takes no place from anybody; who sends it bounds it.
        self._background_queue = SharedLimit(0)

    async def start(self) -> None:
        """Start the child and wait until it is ready; raises EngineStartError or OSError."""
        child = await self._supervisor.start()
        self._sizes, self._traits = child.sizes, child.traits
        self._blocks.begin()
        self._stalling = asyncio.create_task(self._end_stalls(), name="engine stall watch")

    async def opened(self) -> None:
        """Wait until the child has read the model's file without harm."""
        await self._supervisor.opened.wait()

    async def close(self) -> None:
        """End the child; requests that still run end with an error."""
        if self._stalling is not None:
            self._stalling.cancel()
            await asyncio.gather(self._stalling, return_exceptions=True)
            self._stalling = None
        await self._supervisor.close()
        self._lose("the server is shutting down")

    @property
    def is_ready(self) -> bool:
        """Whether a request sent now would be taken."""
        return self._supervisor.is_ready

    @property
    def is_outdated(self) -> bool:
        """Whether the model's file has changed so that only loading it anew helps."""
        return self._supervisor.is_outdated

    @property
    def file_change(self) -> FileChange | None:
        """What has become of the model's file since it was loaded."""
        return self._supervisor.file_change

    @property
    def config(self) -> EngineConfig:
        """The sizes in use; those left open are filled in once the engine has started."""
        return self._supervisor.config

    @property
    def sizes(self) -> Sizes | None:
        """What the engine has settled on; None before it has started."""
        child = self._supervisor.child
        return self._sizes if child is None else child.sizes

    @property
    def need(self) -> Need:
        """What it may take by estimate; nothing before it has started."""
        return Need() if self.sizes is None else self.sizes.need

    @property
    def context_size(self) -> int:
        """Tokens that one sequence may have, prompt and answer together; valid after `start`."""
        return self.config.context_size

    @property
    def max_running(self) -> int:
        """Choices that run at once; valid after `start`."""
        return self.config.max_running

    @property
    def traits(self) -> ModelTraits:
        """What the model can do; valid after `start`."""
        return self._traits

    @property
    def num_restarts(self) -> int:
        """How often the child was started anew after it had ended."""
        return self._supervisor.num_restarts

    @property
    def pid(self) -> int | None:
        """Process id of the child, None while there is none."""
        child = self._supervisor.child
        return None if child is None else child.pid

    @property
    def missing_adapters(self) -> Collection[str]:
        """Adapters that were added and are not there, though requests may name them."""
        return self.adapters.missing

    def stats(self) -> EngineStats:
        """Return what the engine's last message told of its sequences and cells."""
        return self._stats

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[TokenOutput, None]:
        """Yield outputs of all choices as they come, each choice closed by its finish reason.

        Closing the generator early aborts the request within one step. Raises EngineUnavailableError while no
        child is up, OverloadedError when too many requests wait, this one has waited too long, or it has to
        give way to an owner with less of the queue, ConstraintFailedError when its constraint leaves no way
        on, MemoryShortError, and EngineFailedError when the engine fails it.
        """
        outputs = OutputQueue(len(request.indexes), request.num_scores)
        # One that is under way has had its place, in another engine.
        amount = 0 if request.drawn else request.n
        queue = self._background_queue if request.is_background else self._queue
        with self._sent(request, outputs, queue, amount=amount) as place:
            if request.drawn:
                place.settle()
            while outputs.num_unfinished:
                for item in await outputs.take():
                    output = checked(item, request)
                    place.settle()
                    outputs.num_unfinished -= output.finish_reason is not None
                    yield output

    def end_thoughts(self, request_id: str, owner: str) -> bool | None:
        """Have a request begin to answer, if it is thinking; whether it may be controlled.

        None where its owner has no such request.
        """
        request = self._requests.get(request_id)
        if not isinstance(request, GenerationRequest) or request.owner != owner:
            return None
        if request.reasoning is None or not request.reasoning.is_controlled:
            return False
        self._send(messages.EndThoughts(request_id))
        return True

    def subscribe_blocks(self, listener: Listener, root: bytes = b"") -> Callable[[], None]:
        """Have `listener` told, on the event loop, of the whole blocks that can be reused, and of what
        changes; returns what ends that.

        Their hashes begin with `root`, see `chain_root`; all listeners name the same, or ValueError is
        raised. Who comes late is told at once of what there is. When the process of the engine ends,
        AllBlocksCleared is told.
        """
        return self._blocks.subscribe(listener, root)

    @property
    def num_places(self) -> int:
        """Choices that it takes at once, running and waiting; valid after `start`."""
        return self._capacity

    def check_room(self, owner: str, weight: float, num_choices: int) -> None:
        """Raise OverloadedError where so many would not be taken now, InvalidRequestError where never."""
        self._queue.capacity = self._capacity
        if num_choices > self._capacity:
            message = f"The request asks for {num_choices} choices; {self._capacity} are taken at most."
            raise InvalidRequestError(message, param="n", code="too_many_choices")
        if not self._queue.has_room(owner, amount=num_choices, weight=weight):
            raise overloaded()

    async def embed(self, request: EmbedRequest) -> AsyncGenerator[EmbedOutput, None]:
        """Yield the vector of each input, as they come; raises what `generate` raises.

        Closing the generator early aborts the request.
        """
        outputs = OutputQueue(len(request.inputs))
        queue = self._background_queue if request.is_background else self._embedding_queue
        with self._sent(request, outputs, queue) as place:
            while outputs.num_unfinished:
                for item in await outputs.take():
                    output = checked_vector(item)
                    place.settle()
                    outputs.num_unfinished -= 1
                    yield output

    @contextlib.contextmanager
    def _sent(
        self,
        request: GenerationRequest | EmbedRequest,
        outputs: OutputQueue,
        queue: SharedLimit,
        *,
        amount: int = 1,
    ) -> Generator[Place, None, None]:
        """Send a request that gets a place in the queue, and abort it unless all has come at the end."""
        child = self._supervisor.taking()
        queue.capacity = self._capacity
        place = queue.enter(
            request.owner, lambda: outputs.put(overloaded()), amount=amount, weight=request.weight
        )
        if place is None:
            raise overloaded()
        self._outputs[request.id], self._requests[request.id] = outputs, request
        try:
            child.send(request)
            yield place
        finally:
            del self._outputs[request.id], self._requests[request.id]
            place.leave()
            if outputs.num_unfinished:
                child.send(messages.Abort(request.id))

    @property
    def _capacity(self) -> int:
        return self.config.max_running + self.config.max_waiting

    async def _end_stalls(self) -> None:
        """End a child that seems well and says nothing to those who wait for it."""
        while True:
            self._last_heard = time.monotonic()
            while self._outputs:
                if time.monotonic() - self._last_heard > self._stall_seconds:
                    log.error("the engine was silent for %.0f s with requests running", self._stall_seconds)
                    if (child := self._supervisor.child) is not None:
                        child.interrupt()
                    break
                await asyncio.sleep(self._stall_seconds / 10)
            await asyncio.sleep(self._stall_seconds / 10)

    def _hear(self, message: messages.FromEngine) -> None:
        self._last_heard = time.monotonic()
        if isinstance(message, messages.Stepped):
            self._stats = message.stats or self._stats
            if message.blocks:
                self._blocks.hear(message.blocks)
        if isinstance(message, messages.AdapterChanged):
            self.adapters.hear(message)
        if isinstance(message, messages.Stepped | messages.Embedded):
            for output in message.outputs:
                queue = self._outputs.get(output.request_id)
                if queue is not None:
                    queue.put(output)

    def _send(self, message: messages.ToEngine) -> None:
        if (child := self._supervisor.child) is not None:
            child.send(message)

    def _lose(self, reason: str) -> None:
        self._blocks.lose()
        self.adapters.lose(reason)
        for queue in self._outputs.values():
            queue.put(EngineFailedError(reason))
