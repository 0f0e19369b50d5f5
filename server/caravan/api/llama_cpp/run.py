"""Answers of llama.cpp's API being made, whole or in events, with their times measured on the way."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from functools import partial

from caravan_schemas.llama_cpp import LlamaFields

from caravan.api.context import RequestContext
from caravan.api.llama_cpp.writer import Answer, AnswerWriter
from caravan.api.output.encoding import Document, plain_event
from caravan.api.prepared import Prepared
from caravan.api.run import Run, aside
from caravan.api.structured.checker import ParsedAnswer
from caravan.api.timing import ChoiceTimes
from caravan.models import ModelRegistry
from caravan.models.loaded_model import LoadedModel


class LlamaCppRun(Run):
    """`stream` says which of `whole` and `events` the request asked for."""

    def __init__(
        self,
        registry: ModelRegistry,
        request: LlamaFields,
        prepare: Callable[[LoadedModel], Awaitable[Prepared]],
        context: RequestContext,
    ) -> None:
        super().__init__(registry, request.model, prepare, context, stream=bool(request.stream))
        self._request = request

    async def whole(self) -> Document:
        """Write the answer as JSON, or an array of all answers where there are several, in pieces."""
        answers, writer = await self._begun()
        await self.start()
        async for output in self:
            answers[output.index].add(output)
        document: list[bytes] = []
        for answer in answers:
            await self.check(ParsedAnswer(answer.text), answer.last)
            document += (b",", await _written(answer.size, partial(writer.whole, answer)))
        return document[1:] if len(answers) == 1 else [b"[", *document[1:], b"]"]

    async def events(self) -> AsyncGenerator[Sequence[bytes], None]:
        """Yield the data of the events as they come. `start` must have been called."""
        answers, writer = await self._begun()
        num_ended = 0
        async for output in self:
            answer = answers[output.index]
            if output.progress is not None:
                yield [plain_event(writer.progress(answer, output))]
                continue
            answer.add(output)
            ready = []
            if output.text or output.token_ids:
                ready.append(await _written(answer.num_untold, partial(writer.event, answer)))
            if output.finish_reason is not None:
                # Nothing may say that it has ended well unless it has.
                await self.check(ParsedAnswer(answer.text), output)
                ready.append(await _written(answer.size, partial(writer.whole, answer)))
                num_ended += 1
            if num_ended == len(answers):
                await self.aclose()
            answer.outputs.clear()
            yield ready

    async def _begun(self) -> tuple[list[Answer], AnswerWriter]:
        prepared = await self.prepare()
        num_choices = prepared.plan.num_drawn
        answers = [
            Answer(number * num_choices + choice, request.token_ids, ChoiceTimes(self.metrics.began))
            for number, request in enumerate(prepared.requests)
            for choice in range(num_choices)
        ]
        return answers, AnswerWriter(self._request, prepared.requests[0], self.model)


async def _written(size: int, document: Callable[[], dict[str, object]]) -> bytes:
    return await aside(size, lambda: plain_event(document()))
