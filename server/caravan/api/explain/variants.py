"""Sets of decoding parameters, each laid over the request's own and read as a completion's are."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec
from caravan_schemas.chat import ChatCompletionRequest
from caravan_schemas.completions import CompletionRequest
from caravan_schemas.decoding import MAX_COUNT
from caravan_schemas.explanations import DEFAULT_CANDIDATES, DEFAULT_STEPS, ExplainRequest, Variant

from caravan.api.params.debug_chain import chain
from caravan.api.params.decoding_plan import DecodingPlanner
from caravan.api.params.resolved import FIRST_NAMES, PARAMETERS
from caravan.api.prompt.tokenize import check_ids
from caravan.api.validation.rewording import rewording
from caravan.engine.params import SamplingParams
from caravan.errors import InvalidValueError
from caravan.models.loaded_model import LoadedModel

Body = ChatCompletionRequest | CompletionRequest

# Candidates of all stages, steps and variants: as JSON, each has some 90 bytes.
_MAX_TOLD = 262_144
# What is not about one text.
_COUNTS = ("n", "best_of")
_ROOT = re.compile(r"\w+")


@dataclass(frozen=True, kw_only=True)
class PlannedVariant:
    """`params` are the engine's, `parameters` all of them as a client writes them.

    `num_steps` is how many tokens are drawn at most, `limit` how many the answer may have by its parameters.
    `stages` are those that may act, in order.
    """

    params: SamplingParams
    num_steps: int
    limit: int | None
    parameters: dict[str, object]
    stages: tuple[str, ...]


def planned(
    request: ExplainRequest, body: Body, model: LoadedModel, decoding: DecodingPlanner, *, is_guided: bool
) -> list[PlannedVariant]:
    """Plan the request's own parameters and its variants; tokenizes texts. Raises InvalidRequestError.

    `body` is the completion that the request's own parameters make.
    """
    continued = request.continue_from or []
    check_ids(model, continued, param="continue_from")
    laid = [(body, "")]
    for index, variant in enumerate(request.variants or ()):
        laid.append((_laid_over(body, variant), f"variants[{index}]."))
    found = [
        _planned(fields, continued, model, decoding, request, prefix, is_guided=is_guided)
        for fields, prefix in laid
    ]
    _check_size(request, found, model)
    return found


def num_told(request: ExplainRequest, model: LoadedModel) -> int:
    """How many candidates to tell of each stage."""
    return min(request.candidates or DEFAULT_CANDIDATES, model.vocab.size)


def _laid_over(body: Body, variant: Variant) -> Body:
    """Lay a variant over the request's own parameters; null takes one of those away.

    A parameter has several names, of which the variant's count.
    """
    own = variant.model_fields_set & Variant.model_fields.keys()
    firsts = {FIRST_NAMES.get(name, name) for name in own}
    kept = {
        name: getattr(body, name)
        for name in body.model_fields_set
        if FIRST_NAMES.get(name, name) not in firsts
    }
    new = {name: getattr(variant, name) for name in own}
    # Every value has been validated as a part of the request.
    return type(body).model_construct(**kept, **new)


def _planned(
    fields: Body,
    continued: Sequence[int],
    model: LoadedModel,
    decoding: DecodingPlanner,
    request: ExplainRequest,
    prefix: str,
    *,
    is_guided: bool,
) -> PlannedVariant:
    with rewording(partial(_named, prefix, _own_names(request, prefix))):
        check_draws(fields)
        params = decoding.plan(fields, model).params
    limit = params.max_tokens
    _check_goes_on(continued, params, model, limit)
    resolved = decoding.outlook(fields, model.metadata, model.operator_defaults)
    steps = request.steps or DEFAULT_STEPS
    return PlannedVariant(
        params=msgspec.structs.replace(params, max_tokens=min(limit or MAX_COUNT, len(continued) + steps)),
        num_steps=min(limit or MAX_COUNT, len(continued) + steps) - len(continued),
        limit=limit,
        parameters={name: resolved[name] for name in PARAMETERS if name not in _COUNTS},
        stages=tuple(_stages(params, is_guided=is_guided)),
    )


def check_draws(fields: Body) -> None:
    """Refuse a limit of no tokens, under whichever name; raises InvalidRequestError."""
    for name in sorted(fields.model_fields_set):
        if FIRST_NAMES.get(name) == "max_tokens" and getattr(fields, name) == 0:
            raise InvalidValueError(name, "must be at least 1: without a draw there are no stages")


def _own_names(request: ExplainRequest, prefix: str) -> frozenset[str]:
    """The fields that the variant of this prefix sets itself."""
    found = re.search(r"\d+", prefix)
    variants = request.variants or []
    return frozenset(variants[int(found[0])].model_fields_set) if found else frozenset()


def _named(prefix: str, own: frozenset[str], path: str) -> str:
    root = _ROOT.match(path)
    return prefix + path if root is not None and root[0] in own else path


def _check_goes_on(
    continued: Sequence[int], params: SamplingParams, model: LoadedModel, limit: int | None
) -> None:
    """Refuse to continue what has ended."""
    ends = model.vocab.end_of_generation_ids.union(params.stop_token_ids)
    for index, token_id in enumerate(continued):
        if token_id in ends:
            raise InvalidValueError(f"continue_from[{index}]", "ends the text, so that nothing follows it")
    if limit is not None and continued and len(continued) >= limit:
        message = f"has {len(continued)} tokens, and 'max_tokens' allows {limit}, so that nothing follows"
        raise InvalidValueError("continue_from", message)


def _stages(params: SamplingParams, *, is_guided: bool) -> Iterator[str]:
    """Name the stages that may act, in order."""
    yield "raw"
    names = [stage.stage for stage in chain(params)]
    early = ("bias", "penalties", "dry")
    yield from (name for name in names if name in early)
    if is_guided:
        yield "mask"
    yield from (name for name in names if name not in (*early, "mirostat", "adaptive_p", "draw", "end"))
    yield "draw"


def _check_size(request: ExplainRequest, found: Sequence[PlannedVariant], model: LoadedModel) -> None:
    """Refuse an answer of more than some twenty megabytes."""
    told = num_told(request, model)
    count = sum(variant.num_steps * len(variant.stages) * told for variant in found)
    if count > _MAX_TOLD:
        raise InvalidValueError(
            "candidates",
            f"asks for {count} candidates in all stages of all steps of all variants; one answer has at most "
            f"{_MAX_TOLD}",
        )
