"""Text completions: one prompt or several, as text or as token ids."""

import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

from caravan_schemas.completions import CompletionRequest, Prompt

from caravan.api.completion_run import CompletionRun
from caravan.api.context import RequestContext
from caravan.api.output.answer_format import Envelope
from caravan.api.output.completion_format import CompletionFormat
from caravan.api.output.echo import Echo, ReadPrompt
from caravan.api.params.decoding_plan import DecodingPlan, DecodingPlanner
from caravan.api.prepared import Prepared, check_scores, generation_requests, refuse_streamed_scores
from caravan.api.prompt.infill import infilled
from caravan.api.prompt.tokenize import PromptRules, check_generates, checked_ids, tokenized
from caravan.api.structured.compiler import ConstraintCompiler, answer_checker
from caravan.errors import InvalidValueError
from caravan.models import ModelRegistry
from caravan.models.loaded_model import LoadedModel
from caravan.runtime.threads import in_thread

DEFAULT_MAX_TOKENS = 16

# Reads one prompt of a request.
Source = Callable[[LoadedModel, PromptRules], ReadPrompt]


class CompletionService:
    """Serves `POST /v1/completions` for all models of a registry."""

    def __init__(
        self, registry: ModelRegistry, decoding: DecodingPlanner, constraints: ConstraintCompiler
    ) -> None:
        self._registry = registry
        self._decoding = decoding
        self._constraints = constraints

    def run(self, request: CompletionRequest, context: RequestContext) -> CompletionRun:
        """Make the run of a request; nothing has happened yet."""
        prepare = partial(self.prepare, request, f"cmpl-{uuid.uuid4().hex}", context)
        return CompletionRun(self._registry, request.model, prepare, context, stream=bool(request.stream))

    async def prepare(
        self,
        request: CompletionRequest,
        request_id: str,
        context: RequestContext,
        model: LoadedModel,
        *,
        default_max_tokens: int | None = DEFAULT_MAX_TOKENS,
        sources: Sequence[Source] | None = None,
    ) -> Prepared:
        """Do everything that can refuse the request; nothing reaches the engine here.

        `sources` take the place of its prompts.
        """
        principal = context.principal.asking(request.priority)
        fingerprint, num_told = self._decoding.fingerprint(model), num_logprobs(request)
        envelope = Envelope.of(request, request_id, fingerprint, model.vocab, num_told)
        if sources is None:
            sources = [_source(request, *prompt) for prompt in named(request.prompt, "prompt")]
        num_choices = len(sources) * (request.n or 1)
        model.engine.check_room(principal.id, principal.weight, num_choices)
        limiter = model.threads.held(principal.id, principal.weight)
        plan, prompts = await in_thread(
            self._read, model, request, sources, default_max_tokens, limiter=limiter
        )
        compiled = await self._constraints.compile(request, context, model.vocab)
        requests = generation_requests(
            request,
            [prompt.token_ids for prompt in prompts],
            plan,
            model,
            request_id,
            principal,
            constraint=None if compiled is None else compiled.constraint,
            num_prompt_logprobs=_num_scores(request),
        )
        return Prepared(
            requests=requests,
            plan=plan,
            format=CompletionFormat(envelope),
            # An echoed prompt is not bound by the constraint.
            checker=None if request.echo else answer_checker(compiled, plan.params),
            echo=Echo(model.vocab, prompts, plan.num_drawn, num_told) if request.echo else None,
        )

    def _read(
        self,
        model: LoadedModel,
        request: CompletionRequest,
        sources: Sequence[Source],
        default_max_tokens: int | None,
    ) -> tuple[DecodingPlan, list[ReadPrompt]]:
        check_generates(model)
        refuse_streamed_scores(request)
        refuse_echo(request)
        _refuse_suffix(request)
        plan = self._decoding.plan(
            request,
            model,
            default_max_tokens,
            num_logprobs=num_logprobs(request),
            may_draw_nothing=bool(request.echo) or request.prompt_logprobs is not None,
        )
        rules = PromptRules.of_prompt(request, model, plan.params.max_tokens)
        if len(sources) > (limit := self._decoding.limits.max_prompts):
            raise InvalidValueError("prompt", f"must have at most {limit} prompts")
        prompts = [source(model, rules) for source in sources]
        param = "logprobs" if request.prompt_logprobs is None else "prompt_logprobs"
        token_ids = [prompt.token_ids for prompt in prompts]
        is_streamed = bool(request.stream)
        check_scores(token_ids, _num_scores(request), plan.num_drawn, stream=is_streamed, param=param)
        return plan, prompts


def _num_scores(request: CompletionRequest) -> int | None:
    """Return how many of the likeliest tokens to tell for each token of prompts, alone or with an echo."""
    wanted = [request.prompt_logprobs, num_logprobs(request) if request.echo else None]
    return max((count for count in wanted if count is not None), default=None)


def _source(request: CompletionRequest, param: str, prompt: str | list[int]) -> Source:
    """Make what reads a prompt, which errors call `param`; with a suffix, the prompt around the gap."""

    def read(model: LoadedModel, rules: PromptRules) -> ReadPrompt:
        if request.suffix:
            return ReadPrompt(token_ids=infilled(model, prompt, request.suffix, param=param))
        if isinstance(prompt, str):
            return ReadPrompt(token_ids=tokenized(model, prompt, param=param, rules=rules), text=prompt)
        return ReadPrompt(token_ids=checked_ids(model, prompt, param=param, rules=rules))

    return read


def refuse_echo(request: CompletionRequest) -> None:
    """Refuse to echo a prompt around a gap, or one that is cut: it is not the text before the answer."""
    for name in ("suffix", "truncate_prompt_tokens") if request.echo else ():
        if getattr(request, name):
            raise InvalidValueError("echo", f"and '{name}' do not go together")


def _refuse_suffix(request: CompletionRequest) -> None:
    """Refuse to change the tokens of a prompt around a gap."""
    for name in ("truncate_prompt_tokens", "add_special_tokens") if request.suffix else ():
        if getattr(request, name) is not None:
            raise InvalidValueError(name, "and 'suffix' do not go together")


def num_logprobs(request: CompletionRequest) -> int | None:
    """Return how many of the likeliest tokens to tell of each; None where nothing is told of tokens.

    There are two names for it; raises InvalidRequestError where they differ.
    """
    probs = request.n_probs or None
    if request.logprobs is not None and probs not in (None, request.logprobs):
        raise InvalidValueError("n_probs", "and 'logprobs' are two names of one parameter and differ")
    return probs if request.logprobs is None else request.logprobs


def named(prompt: Prompt, field: str) -> list[tuple[str, str | list[int]]]:
    """List the prompts that a field of a request holds, each with the path by which errors call it."""
    if isinstance(prompt, str):
        return [(field, prompt)]
    # The schema saw to it that either all items are ids or none is.
    items = cast("list[str | list[int] | int]", prompt)
    token_ids = [item for item in items if isinstance(item, int)]
    if token_ids:
        return [(field, token_ids)]
    return [(f"{field}[{index}]", item) for index, item in enumerate(items) if not isinstance(item, int)]
