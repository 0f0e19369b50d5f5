"""The format of a model's calls, learnt from how its template shows one."""

import json
from dataclasses import replace
from typing import Any

from caravan.chat.families import ModelFamily
from caravan.chat.parsing.events import CallArguments, CallStart, Event
from caravan.chat.rendering.prompt_template import PromptTemplate
from caravan.chat.rendering.traits import Calls
from caravan.chat.rendering.turns import Call, Conversation, Turn
from caravan.chat.tool_formats.base import ToolFormat
from caravan.chat.tool_formats.registry import FORMATS
from caravan.chat.tool_formats.tool_spec import ToolSpec
from caravan.errors import InvalidRequestError

_QUESTION, _RESULT = "qzquestionzq", "qzresultzq"
_ARGUMENTS: dict[str, Any] = {"qz_text": 'a "b" <c>', "qz_number": 7}
_COMMONEST = ("hermes", "mistral_list")
_TOOL = ToolSpec(
    "qz_tool",
    {
        "type": "object",
        "properties": {
            "qz_text": {"type": "string", "description": "Text."},
            "qz_number": {"type": "integer", "description": "A number."},
        },
        "required": ["qz_text"],
    },
)


def with_shown_calls(family: ModelFamily, template: PromptTemplate) -> ModelFamily:
    """The family; where its format is a guess, with one that reads what the template shows, if any does."""
    if not family.is_guess or template.traits.calls is Calls.TEXT:
        return family
    try:
        prompt = template.write(_conversation())
    except InvalidRequestError:
        return family
    shown = prompt.partition(_QUESTION)[2].partition(_RESULT)[0]
    found = next((form for form in sorted(FORMATS.values(), key=_rank) if _reads(form, shown)), None)
    return family if found is None else replace(family, tools=found, is_guess=False)


def _conversation() -> Conversation:
    function = {"name": _TOOL.name, "description": "A tool.", "parameters": _TOOL.parameters}
    turns = [
        Turn(0, "user", _QUESTION),
        Turn(1, "assistant", None, (Call("call_qz01", _TOOL.name, _ARGUMENTS),)),
        Turn(2, "tool", _RESULT, name=_TOOL.name, call_id="call_qz01"),
    ]
    return Conversation(turns, [{"type": "function", "function": function}])


def _rank(form: ToolFormat) -> int:
    """Of formats that read each other's calls, the commonest comes first."""
    return _COMMONEST.index(form.name) if form.name in _COMMONEST else len(_COMMONEST)


def _reads(form: ToolFormat, text: str) -> bool:
    """Whether a format finds exactly the call in a text, which begins before the answer."""
    parser = ModelFamily(None, form).parser([_TOOL])
    events: list[Event] = [*parser.feed(text), *parser.finish()]
    names = [event.name for event in events if isinstance(event, CallStart)]
    arguments = "".join(event.text for event in events if isinstance(event, CallArguments))
    return names == [_TOOL.name] and json.loads(arguments) == _ARGUMENTS
