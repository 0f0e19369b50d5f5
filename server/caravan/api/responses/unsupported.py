"""What of OpenAI's Responses API this server does not do: each value that asks for it is refused by name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from caravan_schemas.queries import RetrievalQuery
from caravan_schemas.responses import ABSENT, ResponseRequest

from caravan.errors import InvalidRequestError, UnsupportedParameterError

LOGPROBS = "message.output_text.logprobs"
# Thoughts are not encrypted here, so that there is nothing to include: the items have them as they are.
INCLUDABLE = (LOGPROBS, "reasoning.encrypted_content")


@dataclass(frozen=True)
class _Only:
    """Values of a field that pass, beside null."""

    param: str
    read: Callable[[ResponseRequest], object]
    passing: tuple[str, ...]


_ONLY = (
    _Only("truncation", lambda r: r.truncation, ("disabled",)),
    _Only("service_tier", lambda r: r.service_tier, ("auto", "default")),
    _Only("text.verbosity", lambda r: r.text and r.text.verbosity, ("medium",)),
    _Only("reasoning.summary", lambda r: r.reasoning and r.reasoning.summary, ("auto",)),
    _Only("reasoning.generate_summary", lambda r: r.reasoning and r.reasoning.generate_summary, ("auto",)),
    _Only("reasoning.mode", lambda r: r.reasoning and r.reasoning.mode, ("standard",)),
    _Only("reasoning.context", lambda r: r.reasoning and r.reasoning.context, ("auto",)),
)


def check(request: ResponseRequest) -> None:
    """Raise InvalidRequestError for the first value that cannot be served."""
    for only in _ONLY:
        value = only.read(request)
        if value is not None and value not in only.passing:
            shown = " or ".join(f"'{value}'" for value in only.passing)
            message = f"'{only.param}' '{value}' is not supported; only {shown} is."
            raise UnsupportedParameterError(message, param=only.param)
    if request.prompt is not None:
        message = "'prompt' is not supported: nobody keeps prompts here."
        raise UnsupportedParameterError(message, param="prompt")
    check_include(request.include or ())
    if request.top_logprobs and LOGPROBS not in (request.include or ()):
        raise _refusal("top_logprobs", f"is only allowed when 'include' has '{LOGPROBS}'")
    options = request.stream_options
    if options is not None and options.include_obfuscation and not request.stream:
        raise _refusal("stream_options", "is only allowed when 'stream' is true")
    if request.background and request.store is False:
        raise _refusal("background", "needs 'store': who asks later finds only what is stored")


def check_retrieval(query: RetrievalQuery) -> None:
    """Refuse what cannot be asked about a stored response."""
    check_include(query.include or ())
    for name in ("starting_after", "include_obfuscation"):
        value = getattr(query, name)
        if value is not None and value is not False and not query.stream:
            raise _refusal(name, "is only allowed when 'stream' is true")


def check_include(include: Sequence[str]) -> None:
    """Refuse what nobody knows; of what there is never anything, nothing is included."""
    for index, name in enumerate(include):
        if name not in INCLUDABLE and name not in ABSENT:
            param = f"include[{index}]"
            known = " and ".join(f"'{known}'" for known in INCLUDABLE)
            raise UnsupportedParameterError(f"'{param}' is not supported; {known} are.", param=param)


def _refusal(param: str, complaint: str) -> InvalidRequestError:
    return InvalidRequestError(f"'{param}' {complaint}.", param=param, code="invalid_value")
