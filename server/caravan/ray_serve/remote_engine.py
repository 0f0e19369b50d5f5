"""Engines elsewhere as services see one engine: streams go on when the replica that makes them dies."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from typing import Any, Protocol

import msgspec

from caravan.engine.block_events import BLOCK_SIZE, BlockEvent, hashes_of_request
from caravan.engine.embedding.values import EmbedOutput, EmbedRequest, ModelTraits
from caravan.engine.outputs import EngineStats, TokenOutput
from caravan.engine.params import GenerationRequest
from caravan.errors import (
    EngineFailedError,
    InvalidRequestError,
)
from caravan.llama.model_file import FileChange
from caravan.ray_serve import wire
from caravan.ray_serve.frames import ReplicaLostError, checked_frames, vectors_of
from caravan.ray_serve.handover import Handover
from caravan.ray_serve.media import packed
from caravan.ray_serve.wire import Facts, Load, Route
from caravan.runtime.threads import in_busy_thread
from caravan.sizing.sizes import Need

log = logging.getLogger(__name__)

_MOMENT_SECONDS = 0.05
# Prompts of more tokens are hashed in a thread; so many take about a millisecond.
_LONG = 8192
# How often it is asked what the replicas have to do, which is for metrics alone.
_LOOK_SECONDS = 1.0


class Replicas(Protocol):
    """The way to the replicas of one model. Each call is routed by its `route`.

    Frames end with the request. All raise ReplicaLostError where the replica dies meanwhile.
    """

    async def facts(self) -> Facts:
        """What an engine has settled on; waits until there is one."""

    def generate(self, request: bytes, route: Route) -> AsyncGenerator[bytes, None]:
        """Frames of a request for text; closing the generator early aborts the request."""

    def embed(self, request: bytes, route: Route) -> AsyncGenerator[bytes, None]:
        """Frames of a request for vectors; closing the generator early aborts the request."""

    def end_thoughts(self, route: Route, owner: str) -> None:
        """Have a request begin to answer; nothing is awaited."""

    async def loads(self) -> list[Load]:
        """What each replica has to do."""


class RemoteEngine:
    """A `TextEngine` whose engines are replicas. `root` begins the chains of hashes of its blocks."""

    def __init__(self, replicas: Replicas, root: bytes) -> None:
        self._replicas = replicas
        self._root = root
        self._facts: Facts | None = None
        self._loads: list[Load] = []
        self._looking: asyncio.Task[None] | None = None
        self._requests: dict[str, GenerationRequest] = {}

    async def start(self) -> None:
        """Wait until a replica is there."""
        facts = await self._replicas.facts()
        # It tells of itself a moment later.
        while not (loads := await self._replicas.loads()):
            await asyncio.sleep(_MOMENT_SECONDS)
        self._facts, self._loads = facts, loads
        self._looking = asyncio.create_task(self._look(), name="replica loads")

    async def opened(self) -> None:
        """The file is read here no sooner than it has been read without harm where the replicas are."""
        while self._facts is None:
            await asyncio.sleep(_MOMENT_SECONDS)

    async def close(self) -> None:
        """Let go of the replicas, which are others' to end."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    @property
    def _known(self) -> Facts:
        assert self._facts is not None, "a model is used once it has started"
        return self._facts

    @property
    def context_size(self) -> int:
        """Tokens that one sequence may have."""
        return self._known.context_size

    @property
    def missing_adapters(self) -> tuple[str, ...]:
        """None: engines on Ray have those of the settings alone."""
        return ()

    @property
    def max_running(self) -> int:
        """Choices that run at once in all replicas."""
        return self._known.max_running * max(1, len(self._loads))

    @property
    def num_places(self) -> int:
        """Choices that one replica takes at once, running and waiting."""
        return self._known.num_places

    @property
    def traits(self) -> ModelTraits:
        """What the model can do."""
        return self._known.traits

    @property
    def need(self) -> Need:
        """Nothing: the memory is that of the replicas."""
        return Need()

    @property
    def is_ready(self) -> bool:
        """Whether a replica would take a request now."""
        return any(load.is_ready for load in self._loads)

    @property
    def is_outdated(self) -> bool:
        """Never: replicas look after their files."""
        return False

    @property
    def file_change(self) -> FileChange | None:
        """Nothing is known of it here."""
        return None

    @property
    def num_restarts(self) -> int:
        """How often children of the replicas that are there were started anew."""
        return sum(load.num_restarts for load in self._loads)

    @property
    def pid(self) -> int | None:
        """None: the processes are elsewhere."""
        return None

    def stats(self) -> EngineStats:
        """The books of all replicas together."""
        return added(load.stats for load in self._loads)

    def check_room(self, owner: str, weight: float, num_choices: int) -> None:  # noqa: ARG002 (shares are the replicas')
        """Raise InvalidRequestError where so many would never be taken; the rest a replica says."""
        if num_choices > self.num_places:
            message = f"The request asks for {num_choices} choices; {self.num_places} are taken at most."
            raise InvalidRequestError(message, param="n", code="too_many_choices")

    def subscribe_blocks(
        self,
        listener: Callable[[Sequence[BlockEvent]], None],  # noqa: ARG002 (each replica tells its board)
        root: bytes = b"",  # noqa: ARG002
    ) -> Callable[[], None]:
        """Tell nothing: which blocks there are is told of each replica, and there are several."""
        return lambda: None

    def end_thoughts(self, request_id: str, owner: str) -> bool | None:
        """Have a request of this ingress begin to answer, if it is thinking; whether it may be controlled.

        None where its owner has no such request here.
        """
        request = self._requests.get(request_id)
        if request is None or request.owner != owner:
            return None
        if request.reasoning is None or not request.reasoning.is_controlled:
            return False
        self._replicas.end_thoughts(Route(request_id), owner)
        return True

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[TokenOutput, None]:
        """Yield outputs as `AsyncEngine.generate` does, and raise what it raises.

        Where the replica is lost, another goes on with the request, once.
        """
        handover = Handover(request)
        self._requests[request.id] = request
        try:
            async with contextlib.aclosing(self._outputs(handover.request)) as outputs:
                async for output in outputs:
                    if (told := handover.take(output)) is not None:
                        yield told
                return
        except ReplicaLostError as error:
            log.warning("request %s goes on in another replica: %s", request.id, error)
        finally:
            self._requests.pop(request.id, None)
        async with contextlib.aclosing(self._continued(handover)) as rest:
            async for told in rest:
                yield told

    async def _continued(self, handover: Handover) -> AsyncGenerator[TokenOutput, None]:
        """What is new of a request that has been lost once."""
        handover.hand_over()
        request = handover.request
        if not request.indexes:
            return
        self._requests[request.id] = request
        try:
            async with contextlib.aclosing(self._outputs(request, is_patient=True)) as outputs:
                async for output in outputs:
                    if (told := handover.take(output)) is not None:
                        yield told
        except ReplicaLostError as error:
            raise EngineFailedError(
                "two engines have failed with this request, one after the other"
            ) from error
        finally:
            self._requests.pop(request.id, None)

    async def _outputs(
        self, request: GenerationRequest, *, is_patient: bool = False
    ) -> AsyncGenerator[TokenOutput, None]:
        is_long = len(request.token_ids) > _LONG
        route = await in_busy_thread(self.route, request) if is_long else self.route(request)
        data = await packed(request)
        checked = checked_frames(lambda: self._replicas.generate(data, route), is_patient=is_patient)
        async with contextlib.aclosing(checked) as frames:
            async for frame in frames:
                if isinstance(frame, wire.Stepped):
                    for output in frame.outputs:
                        yield output

    async def embed(self, request: EmbedRequest) -> AsyncGenerator[EmbedOutput, None]:
        """Yield vectors as `AsyncEngine.embed` does; a replica that is lost has another begin anew, once."""
        data = wire.encode(request)
        route = Route(request.id, sum(map(len, request.inputs)))
        told: set[int] = set()
        for is_last in (False, True):
            checked = checked_frames(lambda: self._replicas.embed(data, route), is_patient=is_last)
            try:
                async with contextlib.aclosing(checked) as frames:
                    async for output in vectors_of(frames):
                        if output.index not in told:
                            told.add(output.index)
                            yield output
                return
            except ReplicaLostError as error:
                if is_last:
                    raise EngineFailedError("two engines have failed with this request") from error

    def route(self, request: GenerationRequest) -> Route:
        """What a router is told of a request."""
        drawn = max((len(token_ids or ()) for token_ids in request.drawn), default=0)
        num_tokens = len(request.token_ids) + drawn
        hashes = hashes_of_request(request, self._root, BLOCK_SIZE)
        return Route(request.id, num_tokens, tuple(hashes))

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                self._loads = await self._replicas.loads()
            except Exception as error:
                log.warning("it is not known what replicas do: %r", error)


def added(books: Iterable[EngineStats]) -> EngineStats:
    """Add up books: numbers, and numbers by name."""
    total: dict[str, Any] = {}
    for book in books:
        for name, value in msgspec.structs.asdict(book).items():
            known = total.get(name)
            if isinstance(value, dict):
                total[name] = dict(Counter(known or {}) + Counter(value))
            else:
                total[name] = value + (known or 0)
    return EngineStats(**total)
