"""Decoding fields of a request into `SamplingParams`, with the checks that involve more than one field."""

from dataclasses import dataclass

from schemas.sampling import SamplingFields
from server.engine.params import SamplingParams
from server.errors import InvalidRequestError


@dataclass(frozen=True, kw_only=True)
class RequestLimits:
    """What one request may ask for at most, as the operator set it."""

    max_choices: int = 16
    max_prompts: int = 128


def to_params(fields: SamplingFields, *, default_max_tokens: int | None = None) -> SamplingParams:
    """The engine's parameters; what the request leaves open takes SamplingParams' own defaults."""
    given = {
        name: value
        for name in ("temperature", "top_k", "top_p", "min_p")
        if (value := getattr(fields, name)) is not None
    }
    stop = (fields.stop,) if isinstance(fields.stop, str) else tuple(fields.stop or ())
    limit = _max_tokens(fields)
    return SamplingParams(
        **given,
        seed=fields.seed,
        max_tokens=default_max_tokens if limit is None else limit,
        stop=tuple(dict.fromkeys(stop)),
    )


def num_choices(fields: SamplingFields, limits: RequestLimits) -> int:
    """How many choices each prompt gets."""
    n = 1 if fields.n is None else fields.n
    if n > limits.max_choices:
        message = f"'n' must be from 1 to {limits.max_choices}."
        raise InvalidRequestError(message, param="n", code="invalid_value")
    return n


def wants_usage_chunk(fields: SamplingFields) -> bool:
    """Whether a stream ends with a usage chunk; refuses stream options without a stream."""
    if fields.stream_options is None:
        return False
    if not fields.stream:
        raise InvalidRequestError(
            "'stream_options' is only allowed when 'stream' is true.",
            param="stream_options",
            code="invalid_value",
        )
    return bool(fields.stream_options.include_usage)


def _max_tokens(fields: SamplingFields) -> int | None:
    old, new = fields.max_tokens, fields.max_completion_tokens
    if old is not None and new is not None and old != new:
        raise InvalidRequestError(
            "'max_tokens' and 'max_completion_tokens' are two names of one limit and differ.",
            param="max_completion_tokens",
            code="invalid_value",
        )
    return new if old is None else old
