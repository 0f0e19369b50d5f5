"""One request's run in the engine: the outputs of all its prompts, and the books kept over them."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

import msgspec
from caravan_schemas.common import CompletionTokensDetails, PromptTokensDetails, Usage

from caravan.api.output.aside import aside, num_numbers
from caravan.api.output.echo import Scoring
from caravan.auth import principal
from caravan.engine.outputs import TokenLogprob, TokenOutput
from caravan.engine.params import (
    AnswerLayout,
    GenerationRequest,
    Reasoning,
    SamplingParams,
)
from caravan.errors import CaravanError
from caravan.grammars.constraint import Constraint
from caravan.models.loaded_model import LoadedModel
from caravan.observability import request_metrics
from caravan.runtime.tasks import fail_early, give_up
from caravan.runtime.threads import to_the_end

Outputs = AsyncGenerator[TokenOutput, None]

# Tokens reserved for an answer that may be as long as the context has room: a usual one, or so much of the
# room. What it has beyond is taken as it comes.
_USUAL_ANSWER = 256
_USUAL_SHARE = 4


@dataclass(frozen=True, kw_only=True)
class Guidance:
    """What the engine is told of an answer's form, beside its decoding."""

    constraint: Constraint | None = None
    reasoning: Reasoning | None = None
    shown_token_ids: tuple[int, ...] = ()
    layout: AnswerLayout | None = None
    cache_salt: str = ""
    scoring: Scoring = field(default_factory=Scoring)
    tells_token_ids: bool = False


class Generation:
    """Outputs of `n` choices of each prompt; a choice's index counts through prompts, then through choices.

    Making one reserves its caller's tokens, which may raise RateLimitError.
    `prompt_logprobs` has those of each choice once its first output has been seen, if any are asked for.
    Nothing reaches the engine before `open`. `aclose` must follow, on every path: it is what frees the
    sequences of a client that left.
    """

    def __init__(
        self,
        model: LoadedModel,
        request_id: str,
        prompts: Sequence[tuple[int, ...]],
        params: SamplingParams,
        num_choices: int,
        guidance: Guidance | None = None,
    ) -> None:
        self._allowance = principal.current().allowance
        if self._allowance is not None:
            self._allowance.reserve(_expected_tokens(prompts, params, num_choices, model.context_size))
        self.model = model
        self.num_choices = num_choices * len(prompts)
        self._prompts = prompts
        self._num_prompt_tokens = sum(len(prompt) for prompt in prompts)
        self._num_completion_tokens = [0] * self.num_choices
        self._num_cached_tokens = [0] * self.num_choices
        self._num_reasoning_tokens = [0] * self.num_choices
        self._choices_per_prompt = num_choices
        guidance = guidance or Guidance()
        self._echo = guidance.scoring.echo
        self.prompt_logprobs: list[Sequence[TokenLogprob]] = [()] * self.num_choices
        self._outputs = _all_outputs(model, request_id, prompts, params, num_choices, guidance)
        self._record = request_metrics.current().generation(
            model.id, self._num_prompt_tokens, self.num_choices, params
        )
        self._first: asyncio.Task[TokenOutput] | None = None
        self._is_computed = False

    async def open(self, seconds: float) -> None:
        """Start, and wait for the first output or `seconds`; a failure before that is raised here."""
        self._first = asyncio.ensure_future(self._next())
        await fail_early(self._first, seconds)

    @property
    def has_output(self) -> bool:
        """Whether `open` has seen the first output, which is there to be taken."""
        return self._first is not None and self._first.done()

    def __aiter__(self) -> "Generation":
        return self

    async def __anext__(self) -> TokenOutput:
        if self._first is None:
            output = await self._next()
        else:
            output = await self._first
            self._first = None
        self._num_completion_tokens[output.index] = output.num_completion_tokens
        self._num_cached_tokens[output.index] = output.num_cached_tokens
        self._num_reasoning_tokens[output.index] = output.num_reasoning_tokens
        self._record.output(output)
        if self._allowance is not None:
            self._allowance.spend(self._num_prompt_tokens + sum(self._num_completion_tokens))
        if output.prompt_logprobs:
            self.prompt_logprobs[output.index] = output.prompt_logprobs
        if self._echo is None:
            return output
        echo, size = self._echo, num_numbers(output.prompt_logprobs)
        return await aside(size, lambda: echo.applied(output))

    def prompt(self, index: int) -> tuple[int, ...]:
        """The tokens of a choice's prompt."""
        return self._prompts[index // self._choices_per_prompt]

    async def aclose(self) -> None:
        """End the run in the engine, if it has not ended."""
        # A cancelled caller would be cancelled again at the first wait here, and leave the run behind.
        await to_the_end(self._close())

    async def _close(self) -> None:
        if self._first is not None:
            await give_up(self._first)
        await self._outputs.aclose()
        self._record.close(self._cached_tokens(), is_computed=self._is_computed)

    async def _next(self) -> TokenOutput:
        self._is_computed = True
        try:
            return await anext(self._outputs)
        except CaravanError:
            self._is_computed = False
            raise

    def usage(self) -> Usage:
        """Exact once all outputs have been seen."""
        num_completion_tokens = sum(self._num_completion_tokens)
        return Usage(
            prompt_tokens=self._num_prompt_tokens,
            completion_tokens=num_completion_tokens,
            total_tokens=self._num_prompt_tokens + num_completion_tokens,
            prompt_tokens_details=PromptTokensDetails(cached_tokens=self._cached_tokens(), audio_tokens=0),
            completion_tokens_details=CompletionTokensDetails(
                reasoning_tokens=sum(self._num_reasoning_tokens),
                audio_tokens=0,
                accepted_prediction_tokens=0,
                rejected_prediction_tokens=0,
            ),
        )

    def _cached_tokens(self) -> int:
        """Choices of a prompt share its computation, so the first of them speaks for the prompt."""
        return sum(self._num_cached_tokens[:: self._choices_per_prompt])


def _all_outputs(
    model: LoadedModel,
    request_id: str,
    prompts: Sequence[tuple[int, ...]],
    params: SamplingParams,
    num_choices: int,
    guidance: Guidance,
) -> Outputs:
    who = principal.current()
    salt = cache_salt(who.cache_group, guidance.cache_salt)
    # Who asks for a salt of their own wants nothing shared.
    public = () if guidance.cache_salt else model.public_prefixes
    requests = [
        GenerationRequest(
            id=f"{request_id}-{index}" if index else request_id,
            token_ids=prompt,
            params=params,
            n=num_choices,
            cache_salt=salt,
            num_public_tokens=num_public_tokens(prompt, public),
            owner=who.id,
            weight=who.weight,
            priority=who.priority,
            constraint=guidance.constraint,
            reasoning=guidance.reasoning,
            shown_token_ids=guidance.shown_token_ids,
            layout=guidance.layout,
            num_prompt_logprobs=guidance.scoring.num_logprobs,
            tells_token_ids=guidance.tells_token_ids,
        )
        for index, prompt in enumerate(prompts)
    ]
    if len(requests) == 1:
        return model.engine.generate(requests[0])
    return _merged([model.engine.generate(request) for request in requests], num_choices)


def _expected_tokens(
    prompts: Sequence[tuple[int, ...]], params: SamplingParams, num_choices: int, context_size: int
) -> int:
    """What a run may come to, for its caller's limit."""
    total = 0
    for prompt in prompts:
        room = context_size - len(prompt)
        limit = params.max_tokens
        usual = max(_USUAL_ANSWER, room // _USUAL_SHARE)
        total += len(prompt) + num_choices * min(room, usual if limit is None else limit)
    return total


def cache_salt(group: str, wish: str) -> str:
    """Who may share a prefix: those of one group with one wish. No two pairs have one salt."""
    return f"{len(group)}:{group}{wish}" if wish else group


def num_public_tokens(prompt: tuple[int, ...], public: Sequence[tuple[int, ...]]) -> int:
    """How long the longest of the public prefixes is with which a prompt begins."""
    return max((len(prefix) for prefix in public if prompt[: len(prefix)] == prefix), default=0)


async def _merged(streams: Sequence[Outputs], num_choices: int) -> Outputs:
    """Outputs of several prompts as they come, each renumbered by its prompt; the first failure ends all."""
    queue: asyncio.Queue[TokenOutput | Exception | None] = asyncio.Queue()

    async def pump(stream: Outputs, base: int) -> None:
        try:
            async with contextlib.aclosing(stream):
                async for output in stream:
                    queue.put_nowait(_renumbered(output, base))
            queue.put_nowait(None)
        except Exception as error:
            queue.put_nowait(error)

    pumps = [asyncio.create_task(pump(s, i * num_choices)) for i, s in enumerate(streams)]
    running = len(pumps)
    try:
        while running:
            item = await queue.get()
            if isinstance(item, Exception):
                raise item
            if item is None:
                running -= 1
            else:
                yield item
    finally:
        for task in pumps:
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


def _renumbered(output: TokenOutput, base: int) -> TokenOutput:
    return msgspec.structs.replace(output, index=base + output.index)
