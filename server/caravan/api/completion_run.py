"""Completions and chat completions: a run told in the shape of its route, whole or as a stream."""

import math
from collections.abc import AsyncGenerator, Iterator, Sequence
from functools import partial
from typing import Protocol

from caravan_schemas.common import FinishReason

from caravan.api.output.answer_format import (
    NOTHING,
    FinishedChoice,
    PlainStream,
    TokenDetails,
    told_progress,
)
from caravan.api.output.chat_format import ParsedStream
from caravan.api.output.encoding import padded_chunk, to_json
from caravan.api.output.whole_answer import whole_answer
from caravan.api.params.decoding_plan import DecodingPlan
from caravan.api.prepared import Prepared
from caravan.api.run import SMALL, Run, aside, num_numbers
from caravan.api.structured.checker import ParsedAnswer
from caravan.engine.outputs import FinishReason as EngineFinishReason
from caravan.engine.outputs import TokenOutput
from caravan.runtime.threads import in_busy_thread

DONE = b"[DONE]"


class Keeper(Protocol):
    """Stores an answer that is to be kept."""

    async def check(self) -> None:
        """Raise a CaravanError where nothing can be stored now."""

    async def keep(self, name: str, document: Sequence[bytes]) -> None:
        """Store the answer of this id, whose JSON comes in pieces."""


class CompletionRun(Run):
    """A run of either completion route.

    What a `keeper` is to store is stored before the client is told of the end.
    """

    keeper: Keeper | None = None

    async def whole(self) -> list[bytes]:
        """Write the complete answer as JSON, in pieces."""
        await self.start()
        prepared = await self.prepare()
        outputs: list[list[TokenOutput]] = [[] for _ in self.prompt_logprobs]
        async for output in self:
            outputs[output.index].append(output)
        texts = ["".join(output.text for output in news) for news in outputs]
        parsed = await aside(sum(map(len, texts)), lambda: list(map(prepared.format.parse, texts)))
        for choice, news in zip(parsed, outputs, strict=True):
            await self.check(choice, news[-1])
        return await self._complete(prepared, outputs, parsed)

    async def events(self) -> AsyncGenerator[Sequence[bytes], None]:
        """Yield the data of the events, `[DONE]` included. `start` must have been called.

        Events that are there at the same time come together, to be written to the socket at once.
        """
        prepared = await self.prepare()
        is_padded = prepared.format.envelope.is_padded
        streams = [prepared.format.stream(index) for index in range(len(self.prompt_logprobs))]
        ready = self._counted(prepared, list(self._openings(prepared)))
        if not self.has_output:
            yield await _padded(ready) if is_padded else ready
            ready = []
        outputs: list[list[TokenOutput]] = [[] for _ in streams]
        num_ended = 0
        async for output in self:
            if self.keeper is not None:
                outputs[output.index].append(output)
            stream, has_ended = streams[output.index], output.finish_reason is not None
            size = num_numbers(output.logprobs) + (prepared.plan.debug_size if has_ended else 0)
            news = partial(_news, prepared, stream, output)
            ready += self._counted(prepared, news() if size <= SMALL else await in_busy_thread(news))
            if has_ended:
                num_ended += 1
                # Nothing may say that it has ended well unless it has.
                if prepared.checker is not None:
                    await self.check(stream.said, output)
            if ready and num_ended < len(streams):
                yield await _padded(ready) if is_padded else ready
                ready = []
        if prepared.format.envelope.with_usage:
            ready.append(to_json(prepared.format.usage_chunk(self.usage())))
        await self.aclose()
        if self.keeper is not None:
            await self._complete(prepared, outputs, [stream.said for stream in streams])
        yield [*(await _padded(ready) if is_padded else ready), DONE]

    def _openings(self, prepared: Prepared) -> Iterator[bytes]:
        for index in range(len(self.prompt_logprobs)):
            prompt = prepared.requests[index // prepared.plan.num_drawn].token_ids
            opening = prepared.format.opening(index, prompt)
            if opening is not None:
                yield to_json(opening)

    def _counted(self, prepared: Prepared, chunks: list[bytes]) -> list[bytes]:
        """Write the usage so far into chunks, where the request asks for it."""
        if not prepared.format.envelope.with_running_usage:
            return chunks
        usage = b'"usage":' + to_json(self.usage())
        # No text can hold this, since quotes inside of texts are escaped.
        return [data.replace(b'"usage":null', usage, 1) for data in chunks]

    async def _prepared(self, *, is_patient: bool) -> Prepared:
        prepared = await super()._prepared(is_patient=is_patient)
        if self.keeper is not None:
            await self.keeper.check()
        return prepared

    async def _complete(
        self, prepared: Prepared, outputs: list[list[TokenOutput]], parsed: Sequence[ParsedAnswer]
    ) -> list[bytes]:
        """Write the whole answer, and have it stored if it is to be kept."""
        size = sum(len(output.text) for news in outputs for output in news)
        size += sum(map(self._num_told, outputs)) + prepared.plan.debug_size
        document = await aside(size, lambda: self._written(prepared, outputs, parsed))
        if self.keeper is not None:
            await self.keeper.keep(prepared.requests[0].id, document)
        return document

    def _num_told(self, outputs: Sequence[TokenOutput]) -> int:
        """Count the log probabilities of one choice."""
        scores = self.prompt_logprobs[outputs[0].index]
        return sum(num_numbers(output.logprobs) for output in outputs) + num_numbers(scores)

    def _written(
        self,
        prepared: Prepared,
        outputs: list[list[TokenOutput]],
        parsed: Sequence[ParsedAnswer],
    ) -> list[bytes]:
        """Write the answer and free what it was made of one by one: all at once would hold the interpreter's
        lock, for 100 ms where there are a million log probabilities.
        """
        document = self._document(prepared, outputs, parsed)
        for news in outputs:
            while news:
                news.pop()
        while self.prompt_logprobs:
            self.prompt_logprobs.pop()
        return document

    def _document(
        self,
        prepared: Prepared,
        outputs: Sequence[Sequence[TokenOutput]],
        parsed: Sequence[ParsedAnswer],
    ) -> list[bytes]:
        plan = prepared.plan
        kept = _best(plan, [news[-1] for news in outputs])
        choices = [
            FinishedChoice(
                parsed=parsed[output.index],
                finish_reason=wire_reason(output.finish_reason),
                details=_details(outputs[output.index]),
                prompt_logprobs=self.prompt_logprobs[output.index],
                prompt_token_ids=prepared.requests[output.index // plan.num_drawn].token_ids,
            )
            for output in kept
        ]
        return whole_answer(prepared.format, choices, self.usage(), plan.debug(dict(enumerate(kept))))


def _news(prepared: Prepared, stream: PlainStream | ParsedStream, output: TokenOutput) -> list[bytes]:
    """Write what an output brings to its choice."""
    news: list[bytes] = []
    if output.progress is not None:
        prompt = prepared.requests[output.index // prepared.plan.num_drawn].token_ids
        news.append(to_json(prepared.format.progress_chunk(output.index, told_progress(output, prompt))))
    if output.text:
        news += stream.feed(output.text, TokenDetails.of(output))
    if output.finish_reason is not None:
        reason, debug = wire_reason(output.finish_reason), prepared.plan.debug({output.index: output})
        news += stream.close(reason, debug, NOTHING if output.text else TokenDetails.of(output))
    return news


def _details(outputs: Sequence[TokenOutput]) -> TokenDetails:
    """Join what all outputs of a choice tell of their tokens."""
    return TokenDetails(
        [entry for output in outputs for entry in output.logprobs],
        [token_id for output in outputs for token_id in output.token_ids],
    )


async def _padded(chunks: list[bytes]) -> list[bytes]:
    return [await aside(len(data), partial(padded_chunk, data)) for data in chunks]


def wire_reason(reason: EngineFinishReason | None) -> FinishReason:
    """Say in OpenAI's words why a choice ended."""
    return "length" if reason is EngineFinishReason.LENGTH else "stop"


def _best(plan: DecodingPlan, last: Sequence[TokenOutput]) -> list[TokenOutput]:
    """Choose, of the last outputs of all choices, those to answer with, each prompt's best first.

    Without a score all are kept, in the engine's order.
    """
    if not plan.params.score:
        return list(last)
    prompts = [last[start : start + plan.num_drawn] for start in range(0, len(last), plan.num_drawn)]
    return [
        output
        for choices in prompts
        for output in sorted(choices, key=_mean_logprob, reverse=True)[: plan.num_choices]
    ]


def _mean_logprob(output: TokenOutput) -> float:
    if output.sum_logprob is None:
        return -math.inf
    return output.sum_logprob / max(output.num_completion_tokens, 1)
