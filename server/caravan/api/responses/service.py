"""All that can be done with responses: make them, ask for them again, cancel, delete and list their input."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Literal, TypeVar

import msgspec
from caravan_schemas.responses import DeletedResponse, InputItemList, ResponseRequest

from caravan.api.chat import ChatService
from caravan.api.context import RequestContext
from caravan.api.output.encoding import to_event
from caravan.api.responses.answer import Background, Replay, ResponseAnswer
from caravan.api.responses.run import ResponseRun
from caravan.api.responses.store import (
    AsyncResponseStore,
    MissingResponseError,
    Outcome,
    Outcomes,
    ResponseStore,
)
from caravan.auth.principal import Principal
from caravan.errors import InvalidRequestError, OverloadedError, ServerError
from caravan.models import ModelRegistry
from caravan.runtime.shared_limit import SharedLimit

T = TypeVar("T")

_RUNNING = ("queued", "in_progress")
# They take turns in the engine; more than this is no use to anybody. Each key has a share of it.
_MAX_BACKGROUND = 1024
_RETRY_SECONDS = 30


class ResponseNotFoundError(InvalidRequestError):
    """No such response is stored, or it is another owner's."""

    status = 404
    code = "response_not_found"


class ResponseService:
    """Serves `/v1/responses` for all models of a registry. Callers see their own key's responses alone."""

    def __init__(self, registry: ModelRegistry, chat: ChatService, archive: AsyncResponseStore) -> None:
        self._registry = registry
        self._chat = chat
        self._archive = archive
        self._outcomes = Outcomes(archive)
        self._places = SharedLimit(_MAX_BACKGROUND)
        self._giving_way: set[asyncio.Task[None]] = set()
        self._running: dict[str, Background] = {}

    async def open(self) -> None:
        """Open the store of responses; raises PlaceError where there can be none."""
        await self._archive.open()

    def run(self, request: ResponseRequest, context: RequestContext) -> ResponseAnswer:
        """The answer to a request, of which nothing has happened yet."""
        who = context.principal
        run = ResponseRun(self._registry, self._chat, self._archive, self._outcomes, request, context)
        if request.background:
            run.place = self._places.enter(who.id, lambda: self._give_way(run.id), weight=who.weight)
            if run.place is None:
                raise _overloaded()
        return ResponseAnswer(run, self._detach)

    async def retrieve(self, response_id: str, principal: Principal) -> bytes:
        """The JSON of a response as it stands."""
        if running := self._mine(response_id, principal):
            return to_event(running.run.response)
        if held := self._held(response_id, principal):
            return msgspec.json.encode(held.response)
        return msgspec.json.encode(
            await self._found(response_id, principal, lambda s, o: s.get(o, response_id))
        )

    async def replay(self, response_id: str, first: int, principal: Principal, *, is_padded: bool) -> Replay:
        """The events of a background response from number `first` on."""
        if running := self._mine(response_id, principal):
            if running.run.request.stream:
                return Replay(running.follow(first), is_padded=is_padded)
            kept = None
        elif held := self._held(response_id, principal):
            kept = held.events
        else:
            kept = await self._found(response_id, principal, lambda s, o: s.events(o, response_id))
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
        held = self._held(response_id, principal)
        row = (
            held.response
            if held
            else await self._found(response_id, principal, lambda s, o: s.get(o, response_id))
        )
        if not row["background"]:
            message = "Only a response that was made with 'background' can be cancelled."
            raise InvalidRequestError(message, code="not_cancellable")
        if row["status"] in _RUNNING:
            message = "The response is being made by another server."
            raise InvalidRequestError(message, code="not_cancellable")
        return msgspec.json.encode(row)

    async def delete(self, response_id: str, principal: Principal) -> DeletedResponse:
        """Forget a response, what it answers and what it says; one that is being made is cancelled."""
        if running := self._mine(response_id, principal):
            await running.end()
        await self._found(response_id, principal, lambda s, o: s.delete(o, response_id))
        self._outcomes.forget(response_id)
        return DeletedResponse(id=response_id, object="response", deleted=True)

    async def input_items(
        self,
        response_id: str,
        after: str | None,
        limit: int,
        order: Literal["asc", "desc"],
        principal: Principal,
    ) -> InputItemList:
        """A page of what a response answers, without the responses before it."""
        rows = await self._found(response_id, principal, lambda s, o: s.input_items(o, response_id))
        if order == "desc":
            rows.reverse()
        if after is not None:
            ids = [row["id"] for row in rows]
            if after not in ids:
                message = f"Item with id '{after}' not found."
                raise InvalidRequestError(message, param="after", code="item_not_found")
            rows = rows[ids.index(after) + 1 :]
        page = rows[:limit]
        return InputItemList(
            object="list",
            data=page,
            first_id=page[0]["id"] if page else None,
            last_id=page[-1]["id"] if page else None,
            has_more=len(rows) > limit,
        )

    async def settle(self) -> None:
        """Wait until nothing is being made in the background any more."""
        while self._running:
            await asyncio.wait([running.task for running in self._running.values()])

    async def aclose(self) -> None:
        """Fail what is being made in the background, and close the store."""
        fault = ServerError("The server ended before the response was complete.")
        await asyncio.gather(*(running.end(fault) for running in self._running.values()))
        await self._outcomes.aclose()
        await self._archive.aclose()

    def _detach(self, run: ResponseRun) -> Background:
        running = self._running[run.id] = Background(run)
        running.when_done(lambda: self._running.pop(run.id))
        return running

    def _mine(self, response_id: str, principal: Principal) -> Background | None:
        running = self._running.get(response_id)
        return None if running is None or running.run.owner != principal.id else running

    def _held(self, response_id: str, principal: Principal) -> Outcome | None:
        return self._outcomes.find(principal.id, response_id)

    def _give_way(self, response_id: str) -> None:
        """End a response of which nothing has been made yet, for another key's."""
        if (running := self._running.get(response_id)) is not None:
            task = asyncio.create_task(running.end(_overloaded()))
            self._giving_way.add(task)
            task.add_done_callback(self._giving_way.discard)

    async def _found(
        self, response_id: str, principal: Principal, work: Callable[[ResponseStore, str], T]
    ) -> T:
        try:
            return await self._archive.do(lambda store: work(store, principal.id), principal.id)
        except MissingResponseError as error:
            raise ResponseNotFoundError(f"Response with id '{response_id}' not found.") from error


def _overloaded() -> OverloadedError:
    return OverloadedError(
        "Too many responses are being made in the background already.", retry_after=_RETRY_SECONDS
    )


async def _at_once(events: Sequence[bytes]) -> AsyncGenerator[Sequence[bytes], None]:
    yield events
