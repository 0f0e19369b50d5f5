"""One message being made: a chat, told in Anthropic's events."""

import uuid
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing

from caravan_schemas.anthropic import MessagesRequest
from caravan_schemas.anthropic_output import MessagesEvent, MessageUsage, StopReason, ThinkingTokens
from caravan_schemas.common import Usage

from caravan.api.chat import ChatService
from caravan.api.context import RequestContext
from caravan.api.messages.event_writer import MessageWriter
from caravan.api.messages.to_chat import Translation, translate
from caravan.api.output.encoding import to_event
from caravan.api.prepared import Prepared
from caravan.api.run import Run
from caravan.api.structured.compiler import UNENFORCED
from caravan.api.validation.rewording import reword, rewording
from caravan.engine.outputs import FinishReason, TokenOutput
from caravan.errors import InvalidRequestError
from caravan.models import ModelRegistry
from caravan.models.loaded_model import LoadedModel
from caravan.runtime.threads import in_thread

Events = AsyncGenerator[Sequence[bytes], None]


class MessagesRun(Run):
    """The run of one message; `stream` says which of `whole` and `events` the request asked for."""

    def __init__(
        self, registry: ModelRegistry, chat: ChatService, request: MessagesRequest, context: RequestContext
    ) -> None:
        super().__init__(registry, request.model, self._prepare_chat, context, stream=bool(request.stream))
        self._id = f"msg_{uuid.uuid4().hex}"
        self._request = request
        self._chat = chat
        self._translation: Translation | None = None
        self._writer: MessageWriter | None = None

    async def whole(self) -> bytes:
        """Write the JSON of the message."""
        await self.start()
        async with aclosing(self.events()) as events:
            async for _ in events:
                pass
        assert self._writer is not None
        return to_event(self._writer.message)

    async def events(self) -> Events:
        """Yield the data of the events, those together that are there together. `start` comes before.

        Where the message is wanted as a whole, there are no data.
        """
        prepared = await self.prepare()
        writer = self._writer = self._new_writer(prepared)
        last: TokenOutput | None = None
        try:
            async for output in self:
                # The counts of the prompt are known from here on.
                begun = () if last is not None else writer.start(usage(self.usage(), output_tokens=0))
                last = output
                texts, _ = await self.read(writer.reader, last)
                yield self._sent([*begun, *writer.write(texts)])
        except InvalidRequestError as error:
            reword(error, self._read.named)
            raise
        assert last is not None, "a run has an end"
        debug = prepared.plan.debug({0: last})
        stop = last.stop_string
        ended = [*writer.end(self._reason(last, writer), stop, usage(self.usage()), debug)]
        await self.aclose()
        yield self._sent(ended)

    async def _prepare_chat(self, model: LoadedModel) -> Prepared:
        can_think = model.family.reasoning is not None
        self._translation = await in_thread(lambda: translate(self._request, can_think=can_think))
        with rewording(self._read.named):
            prepared = await self._chat.prepare(self._read.chat, self._id, self.context, model)
        self.context.metrics.rename(UNENFORCED, self._read.named)
        self.context.metrics.ignore(self._read.ignored)
        return prepared

    @property
    def _read(self) -> Translation:
        assert self._translation is not None
        return self._translation

    def _new_writer(self, prepared: Prepared) -> MessageWriter:
        thinking = self._request.thinking
        is_hidden = thinking is not None and thinking.display == "omitted"
        return MessageWriter(
            self._id, self._request.model, prepared.output_format, shows_thoughts=not is_hidden
        )

    def _sent(self, events: Iterable[MessagesEvent]) -> list[bytes]:
        """Write events, if the request asks for a stream. They are made in any case."""
        made = list(events)
        return [to_event(event) for event in made] if self.stream else []

    def _reason(self, last: TokenOutput, writer: MessageWriter) -> StopReason:
        """Say in Anthropic's words why the answer ended."""
        if last.finish_reason is FinishReason.LENGTH:
            is_full = self.usage().total_tokens >= self.model.context_size
            return "model_context_window_exceeded" if is_full else "max_tokens"
        if writer.reader.said.has_whole_calls:
            return "tool_use"
        return "end_turn" if last.stop_string is None else "stop_sequence"


def usage(counts: Usage, *, output_tokens: int | None = None) -> MessageUsage:
    """Write token counts as messages tell them; at the beginning there are no tokens of the answer."""
    cached = counts.prompt_tokens_details.cached_tokens
    num_thinking = counts.completion_tokens_details.reasoning_tokens
    is_begun = output_tokens is None
    return MessageUsage(
        input_tokens=counts.prompt_tokens - cached,
        cache_creation_input_tokens=0,
        cache_read_input_tokens=cached,
        output_tokens=counts.completion_tokens if is_begun else 0,
        output_tokens_details=ThinkingTokens(thinking_tokens=num_thinking if is_begun else 0),
    )
