"""A request that nothing can refuse any more: what the engine is asked for, and how the answer is made."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from caravan_schemas.chat import ChatCompletionRequest
from caravan_schemas.completions import CompletionRequest

from caravan.api.output.chat_format import ChatFormat
from caravan.api.output.completion_format import CompletionFormat
from caravan.api.output.echo import Echo
from caravan.api.output.parsed_choice import OutputFormat
from caravan.api.params.adapters import adapter_set
from caravan.api.params.decoding_plan import DecodingPlan
from caravan.api.prompt.media import Prompt
from caravan.api.structured.checker import AnswerChecker
from caravan.auth.principal import Principal
from caravan.engine.media.values import MediaRun
from caravan.engine.params import ONCE, AnswerLayout, GenerationRequest, Reasoning
from caravan.errors import InvalidValueError
from caravan.grammars.constraint import Constraint
from caravan.models.loaded_model import LoadedModel

# Tokens reserved for an answer that may be as long as the context has room: a usual one, or so much of the
# room. What it has beyond is taken as it comes.
_USUAL_ANSWER = 256
_USUAL_SHARE = 4
# Log probabilities of all prompts together; those of a stream are written at once.
_MAX_SCORES = 1_048_576
_MAX_STREAMED_SCORES = 65_536


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """`requests` are the engine's, one for each prompt and alike but for it. If it `shares_prompt`, all have
    the same one, which counts once.

    `checker` is held against each answer that ends by itself, `echo` puts prompts in front of texts, and
    `output_format` reads the text of a chat; without one, all of it is content. `format` writes completions.
    `prompt` is that of a chat, and holds its images.
    """

    requests: Sequence[GenerationRequest]
    plan: DecodingPlan
    format: ChatFormat | CompletionFormat
    checker: AnswerChecker | None = None
    echo: Echo | None = None
    output_format: OutputFormat | None = None
    shares_prompt: bool = False
    prompt: Prompt | None = None

    @property
    def prompt_lengths(self) -> list[int]:
        """How many tokens each prompt has."""
        prompts = self.requests[:1] if self.shares_prompt else self.requests
        return [len(request.token_ids) for request in prompts]

    @property
    def choices_per_prompt(self) -> int:
        """How many choices each prompt has."""
        return len(self.requests) if self.shares_prompt else self.requests[0].n

    def expected_tokens(self, context_size: int) -> int:
        """Estimate how many tokens prompts and answers come to, for their caller's limit."""
        total = sum(self.prompt_lengths)
        for request in self.requests:
            room = context_size - len(request.token_ids)
            limit = request.params.max_tokens
            usual = max(_USUAL_ANSWER, room // _USUAL_SHARE)
            # What stands already is a part of the prompt here, and of the limit.
            drawn = usual if limit is None else limit - request.num_continued
            total += request.n * min(room, drawn)
        return total


def generation_requests(
    request: ChatCompletionRequest | CompletionRequest,
    prompts: Sequence[tuple[int, ...]],
    plan: DecodingPlan,
    model: LoadedModel,
    request_id: str,
    principal: Principal,
    *,
    constraint: Constraint | None = None,
    reasoning: Reasoning | None = None,
    layout: AnswerLayout | None = None,
    shown_token_ids: tuple[int, ...] = (),
    num_prompt_logprobs: int | None = None,
    predicted_token_ids: tuple[int, ...] = (),
    media: tuple[MediaRun, ...] = (),
) -> list[GenerationRequest]:
    """Make one request for each prompt; its id is the first's, those of others are numbered behind it."""
    wish = _cache_wish(request)
    has_adapters = request.lora is not None or bool(model.lora)
    lora = adapter_set(request.lora, model, principal) if has_adapters else ()
    # Who asks for a scope of their own wants nothing shared.
    public = () if wish else model.public_prefixes
    return [
        GenerationRequest(
            id=f"{request_id}-{index}" if index else request_id,
            token_ids=prompt,
            params=plan.params,
            n=plan.num_drawn,
            cache_salt=_cache_salt(principal.cache_group, wish),
            num_public_tokens=num_public_tokens(prompt, public),
            owner=principal.id,
            group=request_id,
            weight=principal.weight,
            priority=principal.priority,
            constraint=constraint,
            reasoning=reasoning,
            shown_token_ids=shown_token_ids,
            layout=layout,
            num_prompt_logprobs=num_prompt_logprobs,
            tells_token_ids=bool(request.return_token_ids),
            tells_progress=bool(request.stream and request.return_progress),
            max_drafted=None if request.speculative is None else request.speculative.most,
            predicted_token_ids=predicted_token_ids,
            lora=lora,
            media=media,
        )
        for index, prompt in enumerate(prompts)
    ]


def check_scores(
    prompts: Sequence[Sequence[int]], num_logprobs: int | None, num_drawn: int, *, stream: bool, param: str
) -> None:
    """Refuse to tell more log probabilities of prompts than there is memory for in a moment."""
    if num_logprobs is None:
        return
    count = sum(map(len, prompts)) * (1 + num_logprobs) * num_drawn
    limit = _MAX_STREAMED_SCORES if stream else _MAX_SCORES
    if count > limit:
        where = "stream" if stream else "answer"
        raise InvalidValueError(
            param, f"asks for {count} log probabilities of prompts; one {where} has at most {limit}"
        )


def refuse_streamed_scores(request: ChatCompletionRequest | CompletionRequest) -> None:
    """Refuse to stream a prompt's log probabilities: as in vLLM, no chunk has a place for them."""
    if request.stream and request.prompt_logprobs is not None:
        raise InvalidValueError("prompt_logprobs", "and 'stream' do not go together")


def num_public_tokens(prompt: tuple[int, ...], public: Sequence[tuple[int, ...]]) -> int:
    """Return how long the longest of the public prefixes is with which a prompt begins."""
    return max((len(prefix) for prefix in public if prompt[: len(prefix)] == prefix), default=0)


def _cache_wish(request: ChatCompletionRequest | CompletionRequest) -> str:
    """Return what a request says about sharing its prefix: nothing, a salt, or one of its own."""
    if request.cache_prompt is False:
        return f"{ONCE}{uuid.uuid4().hex}"
    return f"salt {request.cache_salt}" if request.cache_salt else ""


def _cache_salt(group: str, wish: str) -> str:
    """Name who may share a prefix: those of one group with one wish. No two pairs have one salt."""
    if wish.startswith(ONCE):
        return wish
    return f"{len(group)}:{group}{wish}" if wish else group
