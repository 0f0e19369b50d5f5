"""Tools of a request for the model at hand: what it sees, what its calls may be, and how they are read."""

from collections.abc import Sequence
from functools import partial

from caravan.api.prompt.tools import Choice, ToolRequest
from caravan.api.structured.tool_calls import Calls
from caravan.chat.families import ModelFamily
from caravan.chat.tool_formats.tool_spec import ToolSpec
from caravan.engine.params import AnswerLayout
from caravan.errors import UnsupportedParameterError
from caravan.grammars.constraint import Constraint
from caravan.models.loaded_model import LoadedModel


def check_support(tools: ToolRequest, model: LoadedModel) -> None:
    """Refuse tools that the model would never see, or whose calls nobody could read."""
    if model.family.tools is None:
        raise UnsupportedParameterError(
            f"'{tools.param}' are not supported: the chat template of this model has no place for tools.",
            param=tools.param,
        )


def calls(tools: ToolRequest, model: LoadedModel, otherwise: Constraint | None) -> Calls:
    """What binds the calls.

    `otherwise` binds an answer without calls, where the choice leaves that to the model.
    """
    family = model.family
    specs = [tool.spec for tool in tools.callable]
    is_free = tools.choice is Choice.AUTO and otherwise is None
    return Calls(
        param=tools.param,
        model_id=model.id,
        tools=tools.callable,
        is_parallel=tools.is_parallel,
        write=partial(_written, family, tools.is_parallel, is_free, marker_ids(model)),
        after=family.announcements(specs) if is_free else (),
        begins=family.beginning(specs) if is_free else None,
        otherwise=otherwise if tools.choice is Choice.AUTO else None,
        holds_json=family.holds_json,
        unkept=family.unkept,
    )


def layout(model: LoadedModel, tools: ToolRequest | None) -> AnswerLayout:
    """Where an answer's text is no content."""
    family = model.family
    if tools is None:
        return AnswerLayout(frames=family.frames)
    specs = [tool.spec for tool in tools.callable]
    return AnswerLayout(
        frames=family.frames,
        calls=family.announcements(specs),
        begins=family.beginning(specs),
        is_all_calls=tools.choice is not Choice.AUTO,
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


def _written(
    family: ModelFamily, is_parallel: bool, is_free: bool, ids: dict[str, int], tools: Sequence[ToolSpec]
) -> str:
    return family.grammar(tools, parallel=is_parallel, is_free=is_free, marker_ids=ids)
