"""Prompts into what the engine is asked for: whose they are, what they may share, what they may come to."""

from collections.abc import Sequence

from caravan.api.params.decoding_plan import DecodingPlan
from caravan.auth.principal import Principal
from caravan.engine.params import AnswerLayout, GenerationRequest, Reasoning
from caravan.grammars.constraint import Constraint
from caravan.models.loaded_model import LoadedModel

# Tokens reserved for an answer that may be as long as the context has room: a usual one, or so much of the
# room. What it has beyond is taken as it comes.
_USUAL_ANSWER = 256
_USUAL_SHARE = 4


def generation_requests(
    model: LoadedModel,
    request_id: str,
    prompts: Sequence[tuple[int, ...]],
    plan: DecodingPlan,
    principal: Principal,
    *,
    cache_wish: str = "",
    constraint: Constraint | None = None,
    reasoning: Reasoning | None = None,
    layout: AnswerLayout | None = None,
    shown_token_ids: tuple[int, ...] = (),
    num_prompt_logprobs: int | None = None,
    tells_token_ids: bool = False,
) -> list[GenerationRequest]:
    """One request for each prompt; its id is the first's, those of others are numbered behind it."""
    # Who asks for a scope of their own wants nothing shared.
    public = () if cache_wish else model.public_prefixes
    return [
        GenerationRequest(
            id=f"{request_id}-{index}" if index else request_id,
            token_ids=prompt,
            params=plan.params,
            n=plan.num_drawn,
            cache_salt=cache_salt(principal.cache_group, cache_wish),
            num_public_tokens=num_public_tokens(prompt, public),
            owner=principal.id,
            weight=principal.weight,
            priority=principal.priority,
            constraint=constraint,
            reasoning=reasoning,
            shown_token_ids=shown_token_ids,
            layout=layout,
            num_prompt_logprobs=num_prompt_logprobs,
            tells_token_ids=tells_token_ids,
        )
        for index, prompt in enumerate(prompts)
    ]


def expected_tokens(requests: Sequence[GenerationRequest], context_size: int) -> int:
    """How many tokens requests may come to, prompts and answers together."""
    total = 0
    for request in requests:
        room = context_size - len(request.token_ids)
        limit = request.params.max_tokens
        usual = max(_USUAL_ANSWER, room // _USUAL_SHARE)
        total += len(request.token_ids) + request.n * min(room, usual if limit is None else limit)
    return total


def cache_salt(group: str, wish: str) -> str:
    """Who may share a prefix: those of one group with one wish. No two pairs have one salt."""
    return f"{len(group)}:{group}{wish}" if wish else group


def num_public_tokens(prompt: tuple[int, ...], public: Sequence[tuple[int, ...]]) -> int:
    """How long the longest of the public prefixes is with which a prompt begins."""
    return max((len(prefix) for prefix in public if prompt[: len(prefix)] == prefix), default=0)
