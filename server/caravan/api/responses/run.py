"""One response being made: read, answered by a model that is held meanwhile, and kept."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing

from caravan_schemas.responses import ResponseRequest
from caravan_schemas.responses_answers import Response
from caravan_schemas.responses_events import ErrorEvent, Event

from caravan.api.chat import ChatService
from caravan.api.completion_run import wire_reason
from caravan.api.context import RequestContext
from caravan.api.output.encoding import padded_event, to_event
from caravan.api.output.logprobs import LogprobWriter
from caravan.api.prepared import Prepared
from caravan.api.responses.event_writer import ResponseWriter
from caravan.api.responses.inputs import row_of_output
from caravan.api.responses.reading import Reading, read
from caravan.api.responses.snapshot import conversation_of, new_id, snapshot, usage
from caravan.api.responses.to_chat import Translation
from caravan.api.run import Run
from caravan.api.store import AsyncStore, Outcome, Row
from caravan.api.structured.compiler import UNENFORCED
from caravan.api.validation.rewording import reword, rewording
from caravan.engine.outputs import TokenOutput
from caravan.errors import CaravanError, InvalidRequestError, failed_writing
from caravan.models import ModelRegistry, Status
from caravan.models.loaded_model import LoadedModel
from caravan.runtime.shared_limit import Place
from caravan.runtime.threads import cancel_and_wait, to_the_end

log = logging.getLogger(__name__)

# Events that are padded in a few milliseconds.
_FEW = 256

Events = AsyncGenerator[Sequence[bytes], None]


class ResponseRun(Run):
    """The run of one response. With `background`, it goes on when the route closes it: `detach` starts that,
    and returns a function that follows its events from a number on.

    `place` is what it has of the limit of its kind, which it gives up in the end. `log` has the events of a
    background run that are streamed. `error` is what failed after the beginning. One that ends before its
    time is cancelled, or failed by its `fault`.
    """

    def __init__(
        self,
        registry: ModelRegistry,
        chat: ChatService,
        archive: AsyncStore,
        request: ResponseRequest,
        context: RequestContext,
        detach: Callable[["ResponseRun"], Callable[[int], Events]],
    ) -> None:
        super().__init__(registry, request.model, self._prepare_chat, context, stream=bool(request.stream))
        self.id = new_id("resp")
        self.request = request
        self.owner = context.principal.id
        self.log: list[bytes] = []
        self.error: CaravanError | None = None
        self.fault: CaravanError | None = None
        self.place: Place | None = None
        self._chat = chat
        self._archive = archive
        self._detach = detach
        self._follow: Callable[[int], Events] | None = None
        self._beginning: asyncio.Task[None] | None = None
        self._is_stored = request.store is not False
        self._conversation = conversation_of(request)
        self._input: list[Row] = []
        self._reading: Reading | None = None
        self._translation: Translation | None = None
        self._writer: ResponseWriter | None = None
        self._is_kept = False
        self._has_ended = False

    @property
    def response(self) -> Response:
        """The response in its present state."""
        return self._following.response

    async def whole(self) -> bytes:
        """The JSON of the response: complete, or queued."""
        await self._begin(None)
        if self._follow is None:
            async with aclosing(self.made()) as events:
                async for _ in events:
                    pass
        if self.error is not None:
            raise self.error
        return to_event(self.response)

    async def start(self, seconds: float | None = None) -> None:
        """Begin, and wait for the first output or `seconds`; a failure before that is raised here."""
        self._beginning = asyncio.create_task(self._begin(seconds))
        await asyncio.wait([self._beginning], timeout=seconds)
        if self._beginning.done():
            self._beginning.result()

    async def events(self) -> Events:
        """The data of the events. Each list has those that are ready at the same time."""
        assert self._beginning is not None
        try:
            await self._beginning
        except CaravanError as error:
            self.context.metrics.fail(error.code)
            code, message, param = error.code, error.message, error.param
            event = ErrorEvent(type="error", sequence_number=0, code=code, message=message, param=param)
            yield [to_event(event)]
            return
        options = self.request.stream_options
        is_padded = options is not None and bool(options.include_obfuscation)
        async with aclosing(self.made() if self._follow is None else self._follow(0)) as events:
            async for together in events:
                for some in in_turns(together, is_padded=is_padded):
                    yield some
        if self.error is not None:
            self.context.metrics.fail(self.error.code)

    async def _begin(self, seconds: float | None) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (seconds or 0.0)
        self._reading = await read(self.request, self.context, self._registry, self._archive)
        self._translation = self._reading.translation
        if self.request.background:
            await self._enqueue()
            await self._keep()
            self._follow = self._detach(self)
            return
        await self.prepare()
        if seconds is not None:
            with rewording(self._read.named):
                await super().start(max(0.0, deadline - loop.time()))
        await self._keep()

    async def _prepare_chat(self, model: LoadedModel) -> Prepared:
        assert self._reading is not None
        translation = await self._reading.for_model(self.request, self._chat, self.context, model)
        self._translation = translation
        with rewording(translation.named):
            prepared = await self._chat.prepare(translation.chat, self.id, self.context, model)
        self.context.metrics.rename(UNENFORCED, translation.named)
        if self._writer is None:
            params = prepared.plan.params
            self._announce(params.temperature, params.top_p)
        return prepared

    async def _enqueue(self) -> None:
        """Make the queued response without waiting for the model; `made` loads it."""
        if self._registry.status(self.request.model) is Status.LOADED:
            await self.prepare()
            return
        translation = self._read
        with rewording(translation.named):
            resolved = await self._chat.outlook(translation.chat, self.context)
        self._announce(resolved.number("temperature"), resolved.number("top_p"))

    async def _keep(self) -> None:
        """Store the response as running, unless the request forbids it."""
        assert self._reading is not None
        if self._is_stored or self._conversation is not None:
            self._input = await self._reading.rows()
        if self._is_stored:
            # Plain values alone: the store may be in another process.
            owner, body, items = self.owner, _row(self.response), self._input
            await self._archive.do(lambda store: store.begin(owner, body, items), owner)
            self._is_kept = True

    async def made(self) -> Events:
        """The data of the events of each output, where the request asks for a stream.

        The last come after the response is stored.
        """
        writer = self._following
        yield self._sent(writer.begin())
        try:
            prepared = await self.prepare(is_patient=True)
            logprobs = LogprobWriter(self.model.vocab) if self._read.chat.logprobs else None
            yield self._sent(writer.start(prepared.output_format, logprobs))
            last: TokenOutput | None = None
            async for last in self:
                if self.place is not None:
                    self.place.settle()
                texts, _ = await self.read(writer.reader, last)
                yield self._sent(writer.write(texts, last.logprobs))
            assert last is not None, "a run has an end"
            reason, debug = wire_reason(last.finish_reason), prepared.plan.debug({0: last})
            await self._release()
            outcome = list(writer.end(reason, usage(self.usage()), debug))
        except CaravanError as error:
            await self._release()
            if isinstance(error, InvalidRequestError):
                reword(error, self._read.named)
            self.error = error
            outcome = list(writer.fail(error))
        except Exception as error:
            log.exception("a response failed")
            await self._release()
            self.error = failed_writing(error)
            outcome = list(writer.fail(self.error))
        self._has_ended = True
        sent = self._sent(outcome)
        await self._keep_outcome()
        yield sent

    async def _release(self) -> None:
        """Release the model and the limits, before anybody can see that the response has ended."""
        await to_the_end(super()._close())

    async def _close(self) -> None:
        if self._beginning is not None:
            await cancel_and_wait(self._beginning)
            # A failure refers to what it came through, and that is this run.
            self._beginning = None
        if self._follow is None:
            await self.end()

    async def end(self) -> None:
        """Release all that the run holds, and store its outcome."""
        await super()._close()
        if self._is_kept and not self._has_ended:
            self._has_ended = True
            writer = self._following
            self._sent(writer.cancel() if self.fault is None else writer.fail(self.fault))
            await self._keep_outcome()
        if self.place is not None:
            self.place.leave()

    @property
    def _following(self) -> ResponseWriter:
        assert self._writer is not None
        return self._writer

    @property
    def _read(self) -> Translation:
        assert self._translation is not None
        return self._translation

    def _announce(self, temperature: float, top_p: float) -> None:
        limit = self._read.chat.max_completion_tokens
        response = snapshot(self.request, self.id, temperature=temperature, top_p=top_p, limit=limit)
        self._writer = ResponseWriter(response, self._read.spaces)

    def _sent(self, events: Iterable[Event]) -> list[bytes]:
        """The data of events, if the request asks for a stream. The events are made in any case."""
        if not self.stream:
            for _ in events:
                pass
            return []
        sent = [to_event(event) for event in events]
        if self.request.background:
            self.log += sent
        return sent

    async def _keep_outcome(self) -> None:
        items = [row_of_output(item) for item in self.response.output]
        is_added = self._conversation is not None and self.response.status in ("completed", "incomplete")
        if not self._is_kept and not is_added:
            return
        outcome = Outcome(
            owner=self.owner,
            response=_row(self.response),
            items=items,
            events=self.log if self.stream and self.request.background else None,
            added=[*self._input, *items] if is_added else (),
        )
        # The client gets its answer, whether or not the store takes it now.
        await self._archive.outcomes.keep(outcome)


def _row(response: Response) -> Row:
    return response.model_dump(mode="json", exclude_unset=True, by_alias=True)


def in_turns(events: Sequence[bytes], *, is_padded: bool) -> Iterator[Sequence[bytes]]:
    """A few at a time, padded where their sizes are to be hidden."""
    for start in range(0, len(events), _FEW):
        some = events[start : start + _FEW]
        yield [padded_event(data) for data in some] if is_padded else some
