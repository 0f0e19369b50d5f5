"""Ollama's `options` as the decoding fields of this server, which have the limits and the defaults."""

from caravan_schemas.ollama_options import WITHOUT_EFFECT, DecodingOptions, OllamaFields, OllamaOptions
from caravan_schemas.sampling import AnswerFields
from pydantic import ValidationError

from caravan.api.context import RequestContext
from caravan.api.validation.faults import translated
from caravan.errors import InvalidValueError, UnsupportedParameterError

_LIMITS = ("max_completion_tokens", "max_tokens", "n_predict")
_REFUSED = ("tfs_z", "penalize_newline")
_ACTED_ON = tuple(name for name in DecodingOptions.model_fields if name not in ("num_predict", *_REFUSED))
# As many tokens as there is room for, under both of its numbers in Ollama.
_NO_LIMIT = (-1, -2)


def named_option(path: str) -> str | None:
    """Return what Ollama calls a decoding field; None for what is none of its options."""
    if path in _LIMITS:
        return "options.num_predict"
    return f"options.{path}" if path.partition("[")[0] in _ACTED_ON else None


def decoding(options: OllamaOptions | None) -> AnswerFields:
    """Read the options that steer decoding. Raises InvalidRequestError, in the words of this server."""
    if options is None:
        return AnswerFields()
    _refuse(options)
    values = {name: getattr(options, name) for name in _ACTED_ON}
    limit = options.num_predict
    values["max_completion_tokens"] = -1 if limit in _NO_LIMIT else limit
    try:
        return AnswerFields.model_validate(values)
    except ValidationError as error:
        raise translated(AnswerFields, error.errors(include_url=False)[0]) from error


def report_unused(request: OllamaFields, context: RequestContext, *, all_options: bool = False) -> None:
    """Have the sender told which of its options, or `all_options`, have no effect."""
    names: list[str] = []
    if request.options is not None:
        without = OllamaOptions.model_fields if all_options else WITHOUT_EFFECT
        names += [f"options.{name}" for name in without if getattr(request.options, name) is not None]
    context.metrics.ignore(names)


def _refuse(options: OllamaOptions) -> None:
    if options.tfs_z not in (None, 1):
        message = "'options.tfs_z' is not supported by this server. There is no such sampler."
        raise UnsupportedParameterError(message, param="options.tfs_z")
    if options.penalize_newline is False:
        message = "'options.penalize_newline' is not supported by this server. llama.cpp has dropped it."
        raise UnsupportedParameterError(message, param="options.penalize_newline")
    if options.num_predict == 0:
        raise InvalidValueError(
            "options.num_predict", "must be at least 1, or -1 for as many as there is room for"
        )
