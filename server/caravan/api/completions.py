"""Text completions: one prompt or several, as text or as token ids."""

from collections.abc import Sequence
from functools import partial
from typing import cast

from caravan_schemas.completions import CompletionRequest, Prompt

from caravan.api.admission import check_room, turn
from caravan.api.output.answer import Answer
from caravan.api.output.chunks import CompletionFormat, Identity
from caravan.api.output.echo import Echo, ReadPrompt, Scoring, check_scores, refuse_streamed_scores
from caravan.api.output.generation import Generation, Guidance
from caravan.api.output.logprobs import LogprobWriter
from caravan.api.output.obfuscation import wants_padding
from caravan.api.output.pending import PendingAnswer
from caravan.api.params import sampling_params
from caravan.api.params.decoding_plan import DecodingPlan
from caravan.api.params.sampling_params import DecodingPlanner
from caravan.api.prompt.infill import infilled, refuse_echo
from caravan.api.prompt.tokenize import check_generates, checked_ids, tokenized
from caravan.api.prompt.truncation import PromptRules, refuse_suffix
from caravan.api.structured.compiler import ConstraintCompiler, constraint, verdict
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

    def answer(self, request: CompletionRequest) -> PendingAnswer:
        """The answer to a request, of which nothing has happened yet."""
        prepare = partial(self._prepare, request)
        return PendingAnswer(self._registry, request.model, prepare, stream=bool(request.stream))

    async def _prepare(self, request: CompletionRequest, model: LoadedModel) -> Answer:
        """Everything that can refuse the request happens here; nothing has reached the engine yet."""
        with_usage = sampling_params.wants_usage_chunk(request)
        check_room(model, len(named(request.prompt, "prompt")) * (request.n or 1))
        plan, prompts, scoring = await in_thread(self._read, model, request, limiter=turn(model.threads))
        compiled = await self._constraints.compile(request, model.vocab)
        guidance = Guidance(
            constraint=constraint(compiled),
            scoring=scoring,
            cache_salt=sampling_params.cache_wish(request),
            tells_token_ids=bool(request.return_token_ids),
        )
        identity = Identity.new("cmpl", request.model, self._decoding.fingerprint(model))
        return Answer(
            Generation(model, identity.id, prompts, plan.params, plan.num_drawn, guidance),
            CompletionFormat(
                identity,
                with_usage=with_usage,
                writer=None if num_logprobs(request) is None else LogprobWriter(model.vocab),
                prompt_writer=None if request.prompt_logprobs is None else LogprobWriter(model.vocab),
                with_token_ids=bool(request.return_token_ids),
            ),
            plan,
            # An echoed prompt is not bound by the constraint.
            None if scoring.echo else verdict(compiled, plan.params),
            with_usage=with_usage,
            is_padded=wants_padding(request),
        )

    def _read(
        self, model: LoadedModel, request: CompletionRequest
    ) -> tuple[DecodingPlan, list[tuple[int, ...]], Scoring]:
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
        scoring = _scoring(request, model, prompts, plan.num_drawn)
        return plan, [prompt.token_ids for prompt in prompts], scoring


def _scoring(
    request: CompletionRequest, model: LoadedModel, prompts: Sequence[ReadPrompt], num_drawn: int
) -> Scoring:
    """What is told about the prompts; an echo shows its tokens as the text's are shown."""
    shown = num_logprobs(request)
    wanted = [request.prompt_logprobs, shown if request.echo else None]
    param = "logprobs" if request.prompt_logprobs is None else "prompt_logprobs"
    count = max((n for n in wanted if n is not None), default=None)
    token_ids = [prompt.token_ids for prompt in prompts]
    check_scores(token_ids, count, num_drawn, stream=bool(request.stream), param=param)
    echo = Echo(model.vocab, prompts, num_drawn, shown) if request.echo else None
    return Scoring(num_logprobs=count, echo=echo)


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
