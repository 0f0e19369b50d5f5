"""One request's life on the web side: its model held, its choices drawn and checked, its tokens counted."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

from caravan_schemas.common import CompletionTokensDetails, PromptTokensDetails, Usage

from caravan.api.context import RequestContext
from caravan.api.merged_outputs import Outputs, merged
from caravan.api.output.parsed_choice import AnswerReader
from caravan.api.prepared import Prepared
from caravan.api.prompt.media import Prompt
from caravan.api.structured.checker import Call, ParsedAnswer
from caravan.chat.parsing.events import Event
from caravan.engine.outputs import FinishReason, TokenLogprob, TokenOutput
from caravan.errors import BrokenConstraintError, CaravanError
from caravan.models import Lease, ModelRegistry
from caravan.models.loaded_model import LoadedModel
from caravan.observability.request_metrics import RunMetrics
from caravan.runtime.threads import cancel_and_wait, in_busy_thread, in_thread, to_the_end

T = TypeVar("T")

log = logging.getLogger(__name__)

# Characters and log probabilities together that are read or written in a few milliseconds.
SMALL = 8192


class Run:
    """An async context manager around all that a request holds; an async iterator over its outputs.

    Call `prepare` or `start` before the outputs. Leaving the context, on whatever path, ends what still runs
    in the engine, closes the metrics and releases the model. Choices are numbered through all prompts: those
    of the first, then those of the second. `prompt_logprobs` has each choice's from its first output on.
    `stream` says whether the answer is wanted as it comes.
    """

    def __init__(
        self,
        registry: ModelRegistry,
        model_name: str,
        prepare: Callable[[LoadedModel], Awaitable[Prepared]],
        context: RequestContext,
        *,
        stream: bool = False,
    ) -> None:
        self.stream = stream
        self.context = context
        self.prompt_logprobs: list[Sequence[TokenLogprob]] = []
        self._registry = registry
        self._model_name = model_name
        self._prepare = prepare
        self._lease: Lease | None = None
        self._preparing: asyncio.Task[Prepared] | None = None
        self._first: asyncio.Task[TokenOutput] | None = None
        self._outputs: Outputs | None = None
        self._prompt: Prompt | None = None
        self._metrics: RunMetrics | None = None
        self._is_computed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End what still runs, close the metrics and release the model.

        Streams call it before they tell the client of their end, so that its next request finds this done.
        """
        # A cancelled caller would be cancelled again at the first wait here, and leave the run behind.
        await to_the_end(self._close())

    async def prepare(self, *, is_patient: bool = False) -> Prepared:
        """Prepare the request for the engine; whatever can refuse it does so here.

        Loads the model if need be; with `is_patient`, waits for that as long as it takes.
        """
        if self._preparing is None:
            self._preparing = asyncio.create_task(self._prepared(is_patient=is_patient))
        return await self._preparing

    async def start(self, seconds: float | None = None) -> None:
        """Prepare and submit, and wait for the first output, or `seconds`.

        What fails by then is raised here, and what fails later by the outputs.
        """
        self._first = asyncio.create_task(self._first_output())
        await asyncio.wait([self._first], timeout=seconds)
        if self._first.done():
            self._first.result()

    @property
    def has_output(self) -> bool:
        """Whether the first output is there to be taken."""
        return self._first is not None and self._first.done()

    @property
    def model(self) -> LoadedModel:
        """The model, once the request is prepared."""
        assert self._lease is not None
        return self._lease.model

    @property
    def metrics(self) -> RunMetrics:
        """What has been counted, once the request is prepared."""
        assert self._metrics is not None
        return self._metrics

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> TokenOutput:
        """Return the next output of any choice; raises what ends the run before its time."""
        assert self._preparing is not None, "a run has been started before"
        if self._first is None:
            output = await self._next()
        else:
            output = await self._first
            self._first = None
        if output.progress is not None:
            return output
        metrics = self.metrics
        metrics.output(output)
        if (allowance := self.context.principal.allowance) is not None:
            allowance.spend(metrics.num_prompt_tokens + metrics.num_completion_tokens)
        if output.prompt_logprobs:
            self.prompt_logprobs[output.index] = output.prompt_logprobs
        echo = self._preparing.result().echo
        if echo is None:
            return output
        return await aside(num_numbers(output.prompt_logprobs), partial(echo.applied, output))

    def usage(self) -> Usage:
        """Count the tokens; exact once all outputs have been seen."""
        metrics = self.metrics
        return Usage(
            prompt_tokens=metrics.num_prompt_tokens,
            completion_tokens=metrics.num_completion_tokens,
            total_tokens=metrics.num_prompt_tokens + metrics.num_completion_tokens,
            prompt_tokens_details=PromptTokensDetails(
                cached_tokens=metrics.num_cached_tokens,
                audio_tokens=0 if self._prompt is None else self._prompt.num_tokens_of("audio"),
                image_tokens=0 if self._prompt is None else self._prompt.num_tokens_of("image"),
            ),
            completion_tokens_details=CompletionTokensDetails(
                reasoning_tokens=metrics.num_reasoning_tokens,
                audio_tokens=0,
                accepted_prediction_tokens=metrics.num_accepted_predictions,
                rejected_prediction_tokens=metrics.num_rejected_predictions,
            ),
        )

    async def read(self, reader: AnswerReader, output: TokenOutput) -> tuple[list[Event], Sequence[Call]]:
        """Read an output of the only choice: its events, and the calls that are complete with it.

        The last output brings what was held back. All that is told of has been checked, since no client may
        act on a call that is done, and learn later that it is broken. Raises BrokenConstraintError.
        """
        events, has_ended = reader.read(output.text), output.finish_reason is not None
        if has_ended:
            events += reader.read_rest()
        calls = reader.ended_calls()
        for call in calls:
            await self.check_call(call, output)
        if has_ended:
            await self.check(reader.said, output)
        return events, calls

    async def check(self, said: ParsedAnswer, last: TokenOutput) -> None:
        """Check an answer that has ended by itself against its constraint. Raises BrokenConstraintError."""
        checker = (await self.prepare()).checker
        if checker is not None and last.finish_reason is FinishReason.STOP:
            self._report(await in_thread(checker.fault, said), last.request_id)

    async def check_call(self, call: Call, now: TokenOutput) -> None:
        """Check a call that is complete with this output. Raises BrokenConstraintError."""
        checker = (await self.prepare()).checker
        if checker is not None:
            self._report(await in_thread(checker.fault_of_call, call), now.request_id)

    def _report(self, fault: str | None, request_id: str) -> None:
        """Log, count and raise a breach of a constraint, which is a fault of the server."""
        if fault is None:
            return
        self.context.metrics.count_violation(self.model.id)
        # How it breaks it shows words of the answer, which are for its client alone.
        log.error("answer %s breaks its constraint; its client is told how", request_id)
        raise BrokenConstraintError(f"The answer broke its constraint and must not be used: {fault}.")

    async def _prepared(self, *, is_patient: bool) -> Prepared:
        principal = self.context.principal
        self._lease = await self._registry.acquire(
            self._model_name, principal, is_patient=is_patient, stay=self.context.metrics.stay_seconds
        )
        self.context.metrics.requested_model = self._model_name
        model = self._lease.model
        prepared = await self._prepare(model)
        self._prompt = prepared.prompt
        if principal.allowance is not None:
            await principal.allowance.reserve(prepared.expected_tokens(model.context_size))
        requests = prepared.requests
        streams = [model.engine.generate(request) for request in requests]
        if len(streams) == 1:
            self._outputs = streams[0]
        else:
            self._outputs = merged(streams, requests[0].n, shares_prompt=prepared.shares_prompt)
        lengths, num_choices = prepared.prompt_lengths, prepared.choices_per_prompt
        self._metrics = self.context.metrics.run(model.id, lengths, num_choices, prepared.plan.params)
        self.prompt_logprobs = [()] * self._metrics.num_choices
        return prepared

    async def _first_output(self) -> TokenOutput:
        await self.prepare()
        return await self._next()

    async def _next(self) -> TokenOutput:
        assert self._outputs is not None
        self._is_computed = True
        try:
            return await anext(self._outputs)
        except CaravanError:
            self._is_computed = False
            raise

    async def _close(self) -> None:
        for task in (self._first, self._preparing):
            if task is not None:
                await cancel_and_wait(task)
        self._let_go()
        if self._outputs is not None:
            await self._outputs.aclose()
        if self._prompt is not None:
            self._prompt.release()
        if self._metrics is not None:
            self._metrics.close(is_computed=self._is_computed)
        if self._lease is not None:
            self._lease.release()
        if (allowance := self.context.principal.allowance) is not None:
            allowance.leave(self.context.metrics.num_used_tokens)

    def _let_go(self) -> None:
        """Drop what refers back to the run, so that a large request is freed at once, bit by bit.

        As a cycle it would be the garbage collector's, which stops all threads until it has freed the whole.
        """
        self._prepare = _ended
        self._first = None
        if self._preparing is not None and (self._preparing.cancelled() or self._preparing.exception()):
            self._preparing = None


async def _ended(_: LoadedModel) -> Prepared:
    raise AssertionError("a run is prepared before its end")


async def aside(size: int, work: Callable[[], T]) -> T:
    """Do some work, on a thread if it is much, so that other streams go on meanwhile.

    `size` counts characters and log probabilities.
    """
    return work() if size <= SMALL else await in_busy_thread(work)


def num_numbers(entries: Sequence[TokenLogprob]) -> int:
    """Count the log probabilities; each entry has as many as the last."""
    return len(entries) * (1 + entries[-1].num_top) if entries else 0
