"""A prepared request: its run in the engine and the shape of its answer, whole or as a stream."""

import contextlib
import logging
from collections.abc import AsyncGenerator, Sequence
from functools import partial

from caravan_schemas.common import FinishReason

from caravan.api.output.aside import aside, num_numbers
from caravan.api.output.choice_streams import ChoiceStream
from caravan.api.output.chunks import AnswerFormat, FinishedChoice
from caravan.api.output.encoding import to_json
from caravan.api.output.generation import Generation
from caravan.api.output.obfuscation import padded_chunk
from caravan.api.output.parsed_choice import ParsedChoice
from caravan.api.output.token_details import NOTHING, TokenDetails
from caravan.api.output.whole_answer import whole_answer
from caravan.api.params.decoding_plan import DecodingPlan
from caravan.api.structured.checker import AnswerChecker, ParsedAnswer, ParsedCall
from caravan.engine.outputs import FinishReason as EngineFinishReason
from caravan.engine.outputs import TokenOutput
from caravan.errors import BrokenConstraintError
from caravan.observability import request_metrics
from caravan.runtime.threads import in_thread

log = logging.getLogger(__name__)

DONE = b"[DONE]"


class Answer:
    """What a service has prepared: refused by now if it ever will be, and not yet begun.

    `aclose` must follow, on every path.
    """

    def __init__(
        self,
        generation: Generation,
        shape: AnswerFormat,
        plan: DecodingPlan,
        verdict: AnswerChecker | None = None,
        *,
        with_usage: bool,
        is_padded: bool = False,
    ) -> None:
        self._plan = plan
        self._verdict = verdict
        self._generation = generation
        self._shape = shape
        self._with_usage = with_usage
        self._is_padded = is_padded
        self.open = generation.open
        self.aclose = generation.aclose

    async def whole(self) -> list[bytes]:
        """The JSON of the complete answer, in pieces: the stream's deltas, folded."""
        outputs: list[list[TokenOutput]] = [[] for _ in range(self._generation.num_choices)]
        async with contextlib.aclosing(self._generation):
            async for output in self._generation:
                outputs[output.index].append(output)
        last = {index: news[-1] for index, news in enumerate(outputs)}
        texts = ["".join(output.text for output in news) for news in outputs]
        size = sum(map(len, texts)) + sum(map(self._num_told, outputs)) + self._plan.debug_size
        replies = await aside(size, lambda: list(map(self._shape.reply, texts)))
        for index, reply in enumerate(replies):
            await judge(self._verdict, self._generation.model.id, reply.said, last[index])
        del last
        return await aside(size, lambda: self._written(outputs, replies))

    def _num_told(self, outputs: Sequence[TokenOutput]) -> int:
        """Log probabilities of one choice."""
        scores = self._generation.prompt_logprobs[outputs[0].index]
        return sum(num_numbers(output.logprobs) for output in outputs) + num_numbers(scores)

    def _written(self, outputs: list[list[TokenOutput]], replies: Sequence[ParsedChoice]) -> list[bytes]:
        """The answer. The outputs are forgotten one by one: all at once would hold the interpreter's lock."""
        document = self._document(outputs, replies)
        self._generation.prompt_logprobs.clear()
        for news in outputs:
            while news:
                news.pop()
        return document

    def _document(
        self, outputs: Sequence[Sequence[TokenOutput]], replies: Sequence[ParsedChoice]
    ) -> list[bytes]:
        kept = self._plan.kept([news[-1] for news in outputs])
        choices = [
            FinishedChoice(
                reply=replies[output.index],
                finish_reason=wire_reason(output.finish_reason),
                told=TokenDetails.by(*outputs[output.index]),
                prompt_logprobs=self._generation.prompt_logprobs[output.index],
                prompt_token_ids=self._generation.prompt(output.index),
            )
            for output in kept
        ]
        debug = self._plan.debug(dict(enumerate(kept)))
        return whole_answer(self._shape, choices, self._generation.usage(), debug)

    def events(self) -> AsyncGenerator[Sequence[bytes], None]:
        """The data of the events, `[DONE]` included; closes the answer when it ends, however it ends.

        What is there together comes together: a write to a socket costs more than all that makes a chunk.
        """
        return self._padded_chunks() if self._is_padded else self._chunks()

    async def _padded_chunks(self) -> AsyncGenerator[Sequence[bytes], None]:
        async with contextlib.aclosing(self._chunks()) as chunks:
            async for together in chunks:
                yield [await self._padded(data) for data in together]

    async def _padded(self, data: bytes) -> bytes:
        return data if data is DONE else await aside(len(data), partial(padded_chunk, data))

    async def _chunks(self) -> AsyncGenerator[Sequence[bytes], None]:
        async with contextlib.aclosing(self._generation) as generation:
            indexes = range(generation.num_choices)
            streams = [self._shape.stream(index) for index in indexes]
            last: dict[int, TokenOutput] = {}
            openings = [self._shape.opening(index, generation.prompt(index)) for index in indexes]
            ready = [to_json(opening) for opening in openings if opening is not None]
            if not generation.has_output:
                yield ready
                ready = []
            async for output in generation:
                size = num_numbers(output.logprobs)
                if output.finish_reason is not None:
                    size += self._plan.debug_size
                news = await aside(size, partial(self._news, streams[output.index], output))
                if output.finish_reason is not None:
                    last[output.index] = output
                    # Nothing may say that it has ended well unless it has.
                    await judge(self._verdict, generation.model.id, streams[output.index].said, output)
                ready += news
                if ready and len(last) < len(streams):
                    yield ready
                    ready = []
            if self._with_usage:
                ready.append(to_json(self._shape.usage_chunk(generation.usage())))
            yield [*ready, DONE]

    def _news(self, stream: ChoiceStream, output: TokenOutput) -> list[bytes]:
        """What an output brings to its choice."""
        news: list[bytes] = []
        if output.text:
            news += stream.feed(output.text, TokenDetails.by(output))
        if output.finish_reason is not None:
            reason, debug = wire_reason(output.finish_reason), self._plan.debug({output.index: output})
            news += stream.close(reason, debug, NOTHING if output.text else TokenDetails.by(output))
        return news


async def judge(verdict: AnswerChecker | None, model_id: str, said: ParsedAnswer, last: TokenOutput) -> None:
    """Hold what has ended by itself against what binds it. Raises BrokenConstraintError."""
    if verdict is not None and last.finish_reason is EngineFinishReason.STOP:
        _tell(await in_thread(verdict.fault, said), model_id, last.request_id)


async def judge_call(
    verdict: AnswerChecker | None, model_id: str, call: ParsedCall, now: TokenOutput
) -> None:
    """The same of a call that is complete by `now`."""
    if verdict is not None:
        _tell(await in_thread(verdict.fault_of_call, call), model_id, now.request_id)


def _tell(fault: str | None, model_id: str, request_id: str) -> None:
    """A breach is a fault of ours, for the log, the metrics and the client: raises BrokenConstraintError."""
    if fault is None:
        return
    if (metrics := request_metrics.current().metrics) is not None:
        metrics.constraint_violations.labels(model_id).inc()
    # How it breaks it shows words of the answer, which are for its client alone.
    log.error("answer %s breaks its constraint; its client is told how", request_id)
    raise BrokenConstraintError(f"The answer broke its constraint and must not be used: {fault}.")


def wire_reason(reason: EngineFinishReason | None) -> FinishReason:
    """Why a choice ended, in OpenAI's words."""
    return "length" if reason is EngineFinishReason.LENGTH else "stop"
