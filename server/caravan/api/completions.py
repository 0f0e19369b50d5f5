"""Text completions: one prompt or several, as text or as token ids."""

from functools import partial
from typing import cast

from caravan_schemas.completions import CompletionRequest, Prompt

from caravan.api.admission import check_room, turn
from caravan.api.context import RequestContext
from caravan.api.generation_requests import expected_tokens, generation_requests
from caravan.api.output.chunks import CompletionFormat, Identity
from caravan.api.output.completion_run import CompletionRun, PreparedAnswer
from caravan.api.output.echo import Echo, ReadPrompt, check_scores, refuse_streamed_scores
from caravan.api.output.logprobs import LogprobWriter
from caravan.api.output.obfuscation import wants_padding
from caravan.api.params import sampling_params
from caravan.api.params.decoding_plan import DecodingPlan
from caravan.api.params.sampling_params import DecodingPlanner
from caravan.api.prompt.infill import infilled, refuse_echo
from caravan.api.prompt.tokenize import check_generates, checked_ids, tokenized
from caravan.api.prompt.truncation import PromptRules, refuse_suffix
from caravan.api.structured.compiler import ConstraintCompiler, answer_checker, constraint
from caravan.errors import InvalidRequestError
from caravan.models import ModelRegistry
from caravan.models.loaded_model import LoadedModel
from caravan.runtime.threads import in_thread

DEFAULT_MAX_TOKENS = 16


class CompletionService:
    """Serves `POST /v1/completions` for all models of a registry."""

    def __init__(
        self, registry: ModelRegistry, decoding: DecodingPlanner, constraints: ConstraintCompiler
    ) -> None:
        self._registry = registry
        self._decoding = decoding
        self._constraints = constraints

    def run(self, request: CompletionRequest, context: RequestContext) -> CompletionRun:
        """The run of a request, of which nothing has happened yet."""
        prepare = partial(self._prepare, request, context)
        return CompletionRun(self._registry, request.model, prepare, context, stream=bool(request.stream))

    async def _prepare(
        self, request: CompletionRequest, context: RequestContext, model: LoadedModel
    ) -> PreparedAnswer:
        """Everything that can refuse the request happens here; nothing has reached the engine yet."""
        with_usage = sampling_params.wants_usage_chunk(request)
        principal = context.principal
        check_room(model, principal, len(named(request.prompt, "prompt")) * (request.n or 1))
        limiter = turn(model.threads, principal)
        plan, prompts = await in_thread(self._read, model, request, limiter=limiter)
        compiled = await self._constraints.compile(request, context, model.vocab)
        identity = Identity.new("cmpl", request.model, self._decoding.fingerprint(model))
        requests = generation_requests(
            model,
            identity.id,
            [prompt.token_ids for prompt in prompts],
            plan,
            principal,
            cache_wish=sampling_params.cache_wish(request),
            constraint=constraint(compiled),
            num_prompt_logprobs=_num_scores(request),
            tells_token_ids=bool(request.return_token_ids),
        )
        return PreparedAnswer(
            requests=requests,
            num_expected_tokens=expected_tokens(requests, model.context_size),
            plan=plan,
            # An echoed prompt is not bound by the constraint.
            checker=None if request.echo else answer_checker(compiled, plan.params),
            echo=Echo(model.vocab, prompts, plan.num_drawn, num_logprobs(request)) if request.echo else None,
            format=CompletionFormat(
                identity,
                with_usage=with_usage,
                writer=None if num_logprobs(request) is None else LogprobWriter(model.vocab),
                prompt_writer=None if request.prompt_logprobs is None else LogprobWriter(model.vocab),
                with_token_ids=bool(request.return_token_ids),
            ),
            is_padded=wants_padding(request),
        )

    def _read(self, model: LoadedModel, request: CompletionRequest) -> tuple[DecodingPlan, list[ReadPrompt]]:
        check_generates(model)
        refuse_streamed_scores(request)
        refuse_echo(request)
        plan = self._decoding.plan(
            request,
            model,
            DEFAULT_MAX_TOKENS,
            num_logprobs=num_logprobs(request),
            may_draw_nothing=bool(request.echo) or request.prompt_logprobs is not None,
        )
        refuse_suffix(request, request.suffix)
        rules = PromptRules.of_prompt(request, model, plan.params.max_tokens)
        prompts = _prompts(model, request, rules, self._decoding.limits.max_prompts)
        param = "logprobs" if request.prompt_logprobs is None else "prompt_logprobs"
        token_ids = [prompt.token_ids for prompt in prompts]
        is_streamed = bool(request.stream)
        check_scores(token_ids, _num_scores(request), plan.num_drawn, stream=is_streamed, param=param)
        return plan, prompts


def _num_scores(request: CompletionRequest) -> int | None:
    """How many of the likeliest to tell of each token of prompts; an echo shows them as the text's."""
    wanted = [request.prompt_logprobs, num_logprobs(request) if request.echo else None]
    return max((count for count in wanted if count is not None), default=None)


def _prompts(
    model: LoadedModel, request: CompletionRequest, rules: PromptRules, limit: int
) -> list[ReadPrompt]:
    prompts = named(request.prompt, "prompt")
    if len(prompts) > limit:
        message = f"'prompt' must have at most {limit} prompts."
        raise InvalidRequestError(message, param="prompt", code="invalid_value")
    return [_read_prompt(model, prompt, request.suffix, param, rules) for param, prompt in prompts]


def _read_prompt(
    model: LoadedModel, prompt: str | list[int], suffix: str | None, param: str, rules: PromptRules
) -> ReadPrompt:
    if suffix:
        return ReadPrompt(token_ids=infilled(model, prompt, suffix, param=param))
    if isinstance(prompt, str):
        return ReadPrompt(token_ids=tokenized(model, prompt, param=param, rules=rules), text=prompt)
    return ReadPrompt(token_ids=checked_ids(model, prompt, param=param, rules=rules))


def num_logprobs(request: CompletionRequest) -> int | None:
    """How many of the likeliest tokens to tell of each, by either name; None tells nothing of tokens."""
    probs = request.n_probs or None
    if request.logprobs is not None and probs not in (None, request.logprobs):
        message = "'logprobs' and 'n_probs' are two names of one parameter and differ."
        raise InvalidRequestError(message, param="n_probs", code="invalid_value")
    return probs if request.logprobs is None else request.logprobs


def named(prompt: Prompt, field: str) -> list[tuple[str, str | list[int]]]:
    """The prompts that a field of a request holds, each with the path by which errors call it."""
    if isinstance(prompt, str):
        return [(field, prompt)]
    # The schema saw to it that either all items are ids or none is.
    items = cast("list[str | list[int] | int]", prompt)
    token_ids = [item for item in items if isinstance(item, int)]
    if token_ids:
        return [(field, token_ids)]
    return [(f"{field}[{index}]", item) for index, item in enumerate(items) if not isinstance(item, int)]
