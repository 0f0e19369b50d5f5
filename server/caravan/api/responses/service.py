"""All that can be done with responses: make them, ask for them again, cancel, delete and list their input."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import TypeVar

import msgspec
from caravan_schemas.queries import ItemsQuery
from caravan_schemas.responses import CompactRequest, ResponseRequest
from caravan_schemas.responses_answers import DeletedResponse, InputTokens
from caravan_schemas.responses_input import ConversationInput

from caravan.api.chat import ChatService
from caravan.api.context import RequestContext
from caravan.api.output.encoding import to_event
from caravan.api.responses.compaction_run import CompactionRun
from caravan.api.responses.conversation import is_said
from caravan.api.responses.reading import read
from caravan.api.responses.run import Events, ResponseRun, in_turns
from caravan.api.store import AsyncStore, Outcome, Row, Shelf
from caravan.api.tokenize import TokenService
from caravan.api.validation.rewording import rewording
from caravan.auth.principal import Principal
from caravan.errors import CaravanError, InvalidRequestError, InvalidValueError, OverloadedError, ServerError
from caravan.models import ModelRegistry
from caravan.runtime.shared_limit import SharedLimit
from caravan.runtime.threads import to_the_end

T = TypeVar("T")

_RUNNING = ("queued", "in_progress")
# They take turns in the engine; more than this is no use to anybody. Each key has a share of it.
_MAX_BACKGROUND = 1024
_RETRY_SECONDS = 30
# The fields that say what is to be summed up, and when.
_CONVERSATION = {
    "model",
    "input",
    "instructions",
    "previous_response_id",
    "conversation",
    "priority",
    "keep_alive",
}


class Background:
    """A run that goes on alone in its `task` until it ends or is cancelled; many can follow its events."""

    def __init__(self, run: ResponseRun) -> None:
        self.run = run
        self._changed = asyncio.Event()
        self.task = asyncio.create_task(self._drive())
        run.context.metrics.continuing = self.task

    async def end(self, fault: CaravanError | None = None) -> None:
        """Cancel the run, or fail it by `fault`; returns when that is stored."""
        self.run.fault = fault
        self.task.cancel()
        await asyncio.wait([self.task])

    async def follow(self, first: int) -> Events:
        """The data of events from number `first` on, as they come."""
        while True:
            changed, is_done = self._changed, self.task.done()
            if together := self.run.log[first:]:
                yield together
                first += len(together)
            if is_done:
                return
            await changed.wait()

    async def _drive(self) -> None:
        try:
            async with aclosing(self.run.made()) as events:
                async for _ in events:
                    self._notify()
        finally:
            await to_the_end(self.run.end())
            asyncio.get_running_loop().call_soon(self._notify)

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Replay:
    """Stored or running events from a number on, in the shape of a run, as routes take it."""

    stream = True

    def __init__(self, events: Events, *, is_padded: bool) -> None:
        self._events = events
        self._is_padded = is_padded

    async def whole(self) -> bytes:
        """Never called: a replay is a stream."""
        raise AssertionError("a replay is a stream")

    async def aclose(self) -> None:
        """Stop reading. The response goes on."""
        await self._events.aclose()

    async def start(self, seconds: float | None) -> None:
        """Nothing has to be waited for."""

    async def events(self) -> Events:
        """The data of the events. Each list has those that are ready at the same time."""
        async for together in self._events:
            for some in in_turns(together, is_padded=self._is_padded):
                yield some
                # What was stored is all there at once; others stream meanwhile.
                await asyncio.sleep(0)


class ResponseService:
    """Serves `/v1/responses` for all models of a registry. Callers see their own key's responses alone."""

    def __init__(
        self, registry: ModelRegistry, chat: ChatService, tokens: TokenService, archive: AsyncStore
    ) -> None:
        self._registry = registry
        self._chat = chat
        self._tokens = tokens
        self._archive = archive
        self._shelf = Shelf(archive, "response")
        self._places = SharedLimit(_MAX_BACKGROUND)
        self._giving_way: set[asyncio.Task[None]] = set()
        self._running: dict[str, Background] = {}

    async def open(self) -> None:
        """Open the store of responses; raises PlaceError where there can be none."""
        await self._archive.open()

    def run(self, request: ResponseRequest, context: RequestContext) -> ResponseRun:
        """The run of a request. It begins when the route starts it."""
        who = context.principal
        run = ResponseRun(self._registry, self._chat, self._archive, request, context, self._detach)
        if request.background:
            run.place = self._places.enter(who.id, lambda: self._give_way(run.id), weight=who.weight)
            if run.place is None:
                raise _overloaded()
        return run

    async def count(self, request: ConversationInput, context: RequestContext) -> bytes:
        """Count the tokens of the prompt that a response would answer, of any length."""
        reading = await read(request, context, self._registry, self._archive)
        async with context.holding(self._registry, request.model) as model:
            context.metrics.model = model.id
            translation = await reading.for_model(request, self._chat, context, model)
            with rewording(translation.named):
                number = await self._tokens.count(translation.chat, model, context.principal)
        return to_event(InputTokens(object="response.input_tokens", input_tokens=number))

    async def compact(self, request: CompactRequest, context: RequestContext) -> bytes:
        """Have the model sum up a conversation; the answer goes on as the input of the next request."""
        others = CompactRequest.model_fields.keys() - _CONVERSATION
        context.metrics.ignore(sorted(request.model_fields_set & others))
        items = (await read(request, context, self._registry, self._archive)).items
        if not any(is_said(placed.item) for placed in items):
            param = "input" if request.conversation is None else "conversation"
            raise InvalidValueError(param, "has nothing that could be summed up")
        async with CompactionRun(self._registry, self._chat, request, items, context) as run:
            return await run.whole()

    async def retrieve(self, response_id: str, principal: Principal) -> bytes:
        """The JSON of a response as it stands."""
        if running := self._mine(response_id, principal):
            return to_event(running.run.response)
        return msgspec.json.encode(await self._row(response_id, principal))

    async def replay(self, response_id: str, first: int, principal: Principal, *, is_padded: bool) -> Replay:
        """The events of a background response from number `first` on."""
        if running := self._mine(response_id, principal):
            if running.run.request.stream:
                return Replay(running.follow(first), is_padded=is_padded)
            kept = None
        elif held := self._held(response_id, principal):
            kept = held.events
        else:
            kept = await self._shelf.find(response_id, principal, lambda s, o: s.events(o, response_id))
        if kept is None:
            raise InvalidRequestError(
                "Only a response that was made with 'background' and 'stream' can be streamed again.",
                param="stream",
                code="invalid_value",
            )
        return Replay(_at_once(kept[first:]), is_padded=is_padded)

    async def cancel(self, response_id: str, principal: Principal) -> bytes:
        """End a background response; one that has ended stays as it is."""
        if running := self._mine(response_id, principal):
            await running.end()
        row = await self._row(response_id, principal)
        if not row["background"]:
            message = "Only a response that was made with 'background' can be cancelled."
            raise InvalidRequestError(message, code="not_cancellable")
        if row["status"] in _RUNNING:
            message = "The response is being made by another server."
            raise InvalidRequestError(message, code="not_cancellable")
        return msgspec.json.encode(row)

    async def delete(self, response_id: str, principal: Principal) -> DeletedResponse:
        """Delete a response with its items. One that is running in the background is cancelled first."""
        if running := self._mine(response_id, principal):
            await running.end()
        await self._shelf.delete(response_id, principal)
        self._archive.outcomes.forget(response_id)
        return DeletedResponse(id=response_id, object="response", deleted=True)

    async def input_items(self, response_id: str, query: ItemsQuery, principal: Principal) -> bytes:
        """A page of the request's own input items, without those of earlier responses."""
        order = query.order or "desc"
        return await self._shelf.items(response_id, query.after, query.limit, order, principal)

    async def settle(self) -> None:
        """Wait until no response is running in the background any more."""
        while self._running:
            await asyncio.wait([running.task for running in self._running.values()])

    async def aclose(self) -> None:
        """Fail the responses that are running in the background, and close the store."""
        fault = ServerError("The server ended before the response was complete.")
        await asyncio.gather(*(running.end(fault) for running in self._running.values()))
        await self._archive.aclose()

    def _detach(self, run: ResponseRun) -> Callable[[int], Events]:
        running = self._running[run.id] = Background(run)
        running.task.add_done_callback(lambda _: self._running.pop(run.id))
        return running.follow

    def _mine(self, response_id: str, principal: Principal) -> Background | None:
        running = self._running.get(response_id)
        return None if running is None or running.run.owner != principal.id else running

    def _held(self, response_id: str, principal: Principal) -> Outcome | None:
        held = self._archive.outcomes.find(principal.id, response_id)
        return held if isinstance(held, Outcome) else None

    async def _row(self, response_id: str, principal: Principal) -> Row:
        """A response that is not running here."""
        if held := self._held(response_id, principal):
            return held.response
        return await self._shelf.find(response_id, principal, lambda s, o: s.get(o, response_id))

    def _give_way(self, response_id: str) -> None:
        """Fail a response that has not begun yet, to make room for another key's."""
        if (running := self._running.get(response_id)) is not None:
            task = asyncio.create_task(running.end(_overloaded()))
            self._giving_way.add(task)
            task.add_done_callback(self._giving_way.discard)


def _overloaded() -> OverloadedError:
    return OverloadedError(
        "Too many responses are being made in the background already.", retry_after=_RETRY_SECONDS
    )


async def _at_once(events: Sequence[bytes]) -> Events:
    yield events
