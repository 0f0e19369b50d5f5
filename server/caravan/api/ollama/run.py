"""One answer of Ollama's API being made, whole or in lines, with its times measured on the way."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial

from caravan.api.completion_run import wire_reason
from caravan.api.context import RequestContext
from caravan.api.ollama.writer import LineWriter, Piece, joined
from caravan.api.output.encoding import to_event
from caravan.api.output.logprobs import LogprobWriter
from caravan.api.output.parsed_choice import AnswerReader
from caravan.api.prepared import Prepared
from caravan.api.run import Run, aside, num_numbers
from caravan.api.timing import ChoiceTimes
from caravan.chat.parsing.events import Channel, Delta, Event
from caravan.models import ModelRegistry
from caravan.models.loaded_model import LoadedModel

_NANOSECONDS = 1_000_000_000

Prepare = Callable[[LoadedModel], Awaitable[Prepared]]


def nanoseconds(seconds: float) -> int:
    """Write a duration in Ollama's unit."""
    return round(seconds * _NANOSECONDS)


class OllamaRun(Run):
    """`stream` says which of `whole` and `events`, which are lines, the request asked for."""

    def __init__(
        self,
        registry: ModelRegistry,
        model_name: str,
        prepare: Prepare,
        context: RequestContext,
        writer: LineWriter,
        *,
        stream: bool,
        tells_logprobs: bool,
    ) -> None:
        super().__init__(registry, model_name, self._prepare_timed, context, stream=stream)
        self._prepare_request = prepare
        self._writer = writer
        self._tells_logprobs = tells_logprobs
        self._begun = self._loaded = time.monotonic()
        self._times = ChoiceTimes()
        self._reason = ""

    async def whole(self) -> bytes:
        """Write the complete answer as JSON."""
        await self.start()
        async with aclosing(self._pieces()) as pieces:
            said = joined([piece async for piece in pieces])
        return await self._written(said, is_last=True)

    async def events(self) -> AsyncGenerator[Sequence[bytes], None]:
        """Yield the lines as they come. `start` must have been called."""
        async with aclosing(self._pieces()) as pieces:
            async for piece in pieces:
                yield [await self._written(piece)]
        await self.aclose()
        yield [await self._written(Piece(), is_last=True)]

    async def _prepare_timed(self, model: LoadedModel) -> Prepared:
        self._loaded = time.monotonic()
        prepared = await self._prepare_request(model)
        self._times.submitted = time.monotonic()
        return prepared

    async def _pieces(self) -> AsyncGenerator[Piece, None]:
        """Read what the model says; all of it has been held against its constraint when this ends."""
        reader = AnswerReader((await self.prepare()).output_format)
        async for output in self:
            self._times.output(output)
            events, calls = await self.read(reader, output)
            if output.finish_reason is not None:
                self._reason = wire_reason(output.finish_reason)
            content, thought = _text(events, Channel.CONTENT), _text(events, Channel.REASONING)
            piece = Piece(content, thought, tuple(calls), output.logprobs)
            if piece:
                yield piece

    async def _written(self, piece: Piece, *, is_last: bool = False) -> bytes:
        logprobs = LogprobWriter(self.model.vocab) if self._tells_logprobs else None
        last: dict[str, object] | None = None
        if is_last:
            usage = self.usage()
            last = {
                "done_reason": self._reason,
                "prompt_eval_count": usage.prompt_tokens,
                "eval_count": usage.completion_tokens,
                **self._durations(),
            }
        size = num_numbers(piece.logprobs) + len(piece.content)
        line = partial(self._writer.line, piece, logprobs, last)
        return await aside(size, lambda: to_event(line()))

    def _durations(self) -> dict[str, int]:
        """Write the times; the whole is since the request has arrived."""
        durations = {
            "total_duration": time.monotonic() - self.context.metrics.arrived,
            "load_duration": self._loaded - self._begun,
            "prompt_eval_duration": self._times.prompt_seconds,
            "eval_duration": self._times.answer_seconds,
        }
        return {name: nanoseconds(seconds) for name, seconds in durations.items()}


def _text(events: Sequence[Event], channel: Channel) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta) and event.channel is channel)
