"""Tools of a request for the model at hand: what it sees, what its calls may be, and how they are read."""

from collections.abc import Sequence
from functools import partial

from server.chat.families import ModelFamily
from server.chat.tool_spec import ToolSpec
from server.engine.params import Constraint
from server.errors import UnsupportedParameterError
from server.loaded_model import LoadedModel
from server.service.constraints.calls import Calls
from server.service.tool_request import Choice, ToolRequest


def check_support(tools: ToolRequest, model: LoadedModel) -> None:
    """Refuse tools that the model would never see, or whose calls nobody could read or hold to a promise."""
    if model.family.tools is None or not model.template.knows_tools:
        raise UnsupportedParameterError(
            f"'{tools.param}' are not supported: the chat template of this model has no place for tools.",
            param=tools.param,
        )
    strict = next((tool for tool in tools.callable if tool.spec.strict), None)
    if strict is not None and tools.choice is Choice.AUTO and not _has_mark(model.family):
        param = f"{strict.path}.strict" if not strict.is_custom else f"{strict.path}.format"
        raise UnsupportedParameterError(
            f"'{param}' is not supported with this model unless a call is required: its calls begin without "
            "a mark from which a schema could bind them.",
            param=param,
        )


def calls(tools: ToolRequest, model: LoadedModel, otherwise: Constraint | None) -> Calls | None:
    """What binds the calls; None where they can only be read, because nothing marks their beginning.

    `otherwise` binds an answer without calls, where the choice leaves that to the model.
    """
    family = model.family
    is_free = tools.choice is Choice.AUTO and otherwise is None
    if is_free and not _has_mark(family):
        return None
    return Calls(
        param=tools.param,
        model_id=model.id,
        tools=tools.callable,
        is_parallel=tools.is_parallel,
        write=partial(_written, family, tools.is_parallel, marker_ids(model)),
        after=family.triggers if is_free else (),
        otherwise=otherwise if tools.choice is Choice.AUTO else None,
    )


def marker_ids(model: LoadedModel) -> dict[str, int]:
    """The markers of a model that are one token each, by their text."""
    found: dict[str, int] = {}
    for text in model.family.shown:
        token_ids = model.vocab.tokenize(text, add_special=False, parse_special=True)
        if len(token_ids) == 1:
            found[text] = token_ids[0]
    return found


def shown_token_ids(model: LoadedModel) -> tuple[int, ...]:
    """The control tokens that have to be visible in what parsers read."""
    return tuple(i for i in marker_ids(model).values() if not model.vocab.token_bytes(i))


def _has_mark(family: ModelFamily) -> bool:
    """Whether every call begins with a marker."""
    return family.tools is not None and bool(family.triggers) and not family.tools.is_bare


def _written(family: ModelFamily, is_parallel: bool, ids: dict[str, int], tools: Sequence[ToolSpec]) -> str:
    return family.grammar(tools, parallel=is_parallel, marker_ids=ids)
