"""One request's life on the web side: its model held, its choices drawn and checked, its tokens counted."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Generic, Self, TypeVar

from caravan_schemas.common import Usage

from caravan.api.context import RequestContext
from caravan.api.output.aside import aside, num_numbers
from caravan.api.output.echo import Echo
from caravan.api.output.merge import merged
from caravan.api.output.token_counts import TokenCounts
from caravan.api.params.decoding_plan import DecodingPlan
from caravan.api.structured.checker import AnswerChecker, ParsedAnswer, ParsedCall
from caravan.engine.outputs import FinishReason, TokenLogprob, TokenOutput
from caravan.engine.params import GenerationRequest
from caravan.errors import BrokenConstraintError, CaravanError
from caravan.models import Lease, ModelRegistry
from caravan.models.loaded_model import LoadedModel
from caravan.observability.request_metrics import RunMetrics
from caravan.runtime.threads import cancel_and_wait, in_thread, to_the_end

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A request that nothing can refuse any more.

    `requests` are the engine's, one for each prompt and alike but for it. `num_expected_tokens` are those
    that it may come to, for its caller's limit. `checker` is held against each answer that ends by itself,
    and `echo` puts prompts in front of texts.
    """

    requests: Sequence[GenerationRequest]
    num_expected_tokens: int
    plan: DecodingPlan
    checker: AnswerChecker | None = None
    echo: Echo | None = None


P = TypeVar("P", bound=Prepared)


class Run(Generic[P]):
    """An async context manager around all that a request holds; an async iterator over its outputs.

    Choices are numbered through prompts, then through the choices of each. Leaving the context, on whatever
    path, ends what still runs in the engine, closes the books and lets the model go. `prepare` or `start`
    comes before the outputs. `prompt_logprobs` has those of each choice once its first output has been seen.
    """

    def __init__(
        self,
        registry: ModelRegistry,
        model_name: str,
        prepare: Callable[[LoadedModel], Awaitable[P]],
        context: RequestContext,
    ) -> None:
        self.context = context
        self.prompt_logprobs: list[Sequence[TokenLogprob]] = []
        self._registry = registry
        self._model_name = model_name
        self._prepare = prepare
        self._lease: Lease | None = None
        self._preparing: asyncio.Task[P] | None = None
        self._first: asyncio.Task[TokenOutput] | None = None
        self._outputs: AsyncGenerator[TokenOutput, None] | None = None
        self._counts: TokenCounts | None = None
        self._metrics: RunMetrics | None = None
        self._is_computed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End what still runs, close the books and let the model go.

        Also comes before a client is told of the end, so that its next request finds all of it done.
        """
        # A cancelled caller would be cancelled again at the first wait here, and leave the run behind.
        await to_the_end(self._close())

    async def prepare(self, *, is_patient: bool = False) -> P:
        """The request as the engine will get it; whatever can refuse it does so here.

        Loads the model if need be, for which the patient wait as long as it takes.
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

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> TokenOutput:
        """The next output of any choice; raises what ends the run before its time."""
        assert self._preparing is not None, "a run has been started before"
        if self._first is None:
            output = await self._next()
        else:
            output = await self._first
            self._first = None
        assert self._counts is not None
        assert self._metrics is not None
        self._counts.add(output)
        self._metrics.output(output)
        if (allowance := self.context.principal.allowance) is not None:
            allowance.spend(self._counts.num_tokens)
        if output.prompt_logprobs:
            self.prompt_logprobs[output.index] = output.prompt_logprobs
        echo = self._preparing.result().echo
        if echo is None:
            return output
        return await aside(num_numbers(output.prompt_logprobs), partial(echo.applied, output))

    def usage(self) -> Usage:
        """Exact once all outputs have been seen."""
        assert self._counts is not None
        return self._counts.usage()

    async def check(self, said: ParsedAnswer, last: TokenOutput) -> None:
        """Hold what has ended by itself against what binds it. Raises BrokenConstraintError."""
        checker = (await self.prepare()).checker
        if checker is not None and last.finish_reason is FinishReason.STOP:
            self._tell(await in_thread(checker.fault, said), last.request_id)

    async def check_call(self, call: ParsedCall, now: TokenOutput) -> None:
        """The same of a call that is complete by `now`."""
        checker = (await self.prepare()).checker
        if checker is not None:
            self._tell(await in_thread(checker.fault_of_call, call), now.request_id)

    def _tell(self, fault: str | None, request_id: str) -> None:
        """A breach is a fault of ours, for the log, the metrics and the client."""
        if fault is None:
            return
        self.context.metrics.count_violation(self.model.id)
        # How it breaks it shows words of the answer, which are for its client alone.
        log.error("answer %s breaks its constraint; its client is told how", request_id)
        raise BrokenConstraintError(f"The answer broke its constraint and must not be used: {fault}.")

    async def _prepared(self, *, is_patient: bool) -> P:
        principal = self.context.principal
        self._lease = await self._registry.acquire(self._model_name, principal, is_patient=is_patient)
        self.context.metrics.requested_model = self._model_name
        model = self._lease.model
        prepared = await self._prepare(model)
        if principal.allowance is not None:
            principal.allowance.reserve(prepared.num_expected_tokens)
        requests, params = prepared.requests, prepared.plan.params
        num_choices = requests[0].n
        self._counts = TokenCounts([len(request.token_ids) for request in requests], num_choices)
        self.prompt_logprobs = [()] * self._counts.num_choices
        self._outputs = merged([model.engine.generate(request) for request in requests], num_choices)
        self._metrics = self.context.metrics.run(
            model.id, self._counts.num_prompt_tokens, self._counts.num_choices, params
        )
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
        if self._outputs is not None:
            await self._outputs.aclose()
        if self._metrics is not None and self._counts is not None:
            self._metrics.close(self._counts.num_cached_tokens, is_computed=self._is_computed)
        if self._lease is not None:
            self._lease.release()
        if (allowance := self.context.principal.allowance) is not None:
            allowance.leave(self.context.metrics.num_used_tokens)
