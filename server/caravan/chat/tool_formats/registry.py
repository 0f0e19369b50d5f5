"""All formats of tool calls, an entry each, in the order in which chat templates are held against them.

An entry is all that most new models need: `shown_by` are texts of their templates, and what the other fields
mean is said by the class. `tests/chat/data/` wants transcripts of what such a model writes.
"""

from caravan.chat.tool_formats.base import ToolFormat
from caravan.chat.tool_formats.functionary import Functionary32Format
from caravan.chat.tool_formats.json_calls import JsonFormat
from caravan.chat.tool_formats.json_families import CommandRFormat, GenericFormat, LlamaFormat
from caravan.chat.tool_formats.pythonic import PythonicFormat
from caravan.chat.tool_formats.registry_marked import MARKED

HERMES = JsonFormat(
    name="hermes",
    shown_by=(("<tool_call>",),),
    around="<tool_call>\n{call}\n</tool_call>",
)
# For templates without a place for tools.
GENERIC = GenericFormat(name="generic")
# Nothing tells: a guess.
PLAIN_JSON = JsonFormat(name="json", shown_by=(("tools",),), is_bare=True)

_ALL: tuple[ToolFormat, ...] = (
    *MARKED,
    Functionary32Format(
        name="functionary_v3",
        shown_by=((">>>all", ">>>${recipient}"),),
        is_bare=True,
    ),
    PythonicFormat(
        name="lfm2",
        # The last one of this family shows neither marks nor calls.
        shown_by=(("<|tool_call_start|>",), ("<|tool_list_start|>",), ("List of tools: [",)),
        markers=("<|tool_call_start|>", "<|tool_call_end|>"),
        start="<|tool_call_start|>",
        end="<|tool_call_end|>",
    ),
    JsonFormat(
        name="cohere",
        shown_by=(("<|START_ACTION|>",),),
        around="<|START_ACTION|>[{calls}]<|END_ACTION|>",
        call='{"tool_name": "{name}", "parameters": {arguments}}',
        separator=", ",
    ),
    CommandRFormat(
        name="command_r",
        shown_by=(("Action:", "```json", "tool_name"),),
        begins=("Action:\n```json", "Action: ```json", "Action:```json"),
        around="Action:\n```json\n[\n    {calls}\n]```",
        call='{\n        "tool_name": "{name}",\n        "parameters": {arguments}\n    }',
        separator=",\n    ",
    ),
    JsonFormat(
        name="granite",
        shown_by=(("<|tool_call|>",),),
        around="<|tool_call|>[{calls}]",
        separator=", ",
    ),
    JsonFormat(
        name="nemotron",
        shown_by=(("<TOOLCALL>",),),
        around="<TOOLCALL>[{calls}]</TOOLCALL>",
        separator=", ",
    ),
    JsonFormat(
        name="apertus",
        shown_by=(("<|tools_prefix|>",),),
        around="<|tools_prefix|>[{calls}]<|tools_suffix|>",
        call='{"{name}": {arguments}}',
        separator=", ",
    ),
    JsonFormat(
        name="gigachat31",
        shown_by=(("<|role_sep|>", "<|function_call|>"),),
        around="<|function_call|>{call}",
        is_single=True,
    ),
    # The roles of messages stand before the second of these marks.
    JsonFormat(
        name="gigachat3",
        shown_by=(("<|role_sep|>", "function call"),),
        dropped=("<|message_sep|>",),
        lead="<|message_sep|>\n\n",
        around="function call<|role_sep|>\n{call}",
        is_single=True,
    ),
    JsonFormat(
        name="firefunction",
        shown_by=(("functools[",),),
        begins=("functools[",),
        around="functools[{calls}]",
        separator=", ",
    ),
    # Some of its templates name the shorter marks and show the longer ones.
    JsonFormat(
        name="apriel",
        shown_by=(("<tool_calls>[",),),
        begins=("<tool_calls>", "<tool_call>"),
        around="<tool_calls>[{calls}]</tool_calls>",
        other_ends=("</tool_call>",),
        separator=", ",
    ),
    JsonFormat(
        name="minimax_m1",
        shown_by=(("<tool_calls>", "</tool_calls>"),),
        around="<tool_calls>\n{calls}\n</tool_calls>",
    ),
    HERMES,
    PythonicFormat(
        name="pythonic",
        shown_by=(("<|python_start|>",), ("params_name1=params_value1",)),
        markers=("<|python_start|>", "<|python_end|>"),
        is_bare=True,
        start="<|python_start|>",
        end="<|python_end|>",
    ),
    LlamaFormat(
        name="llama3_json",
        shown_by=(('"parameters": dictionary of argument name',),),
        markers=("<|python_tag|>",),
        is_bare=True,
        begins=("<|python_tag|>",),
        call='{"name": "{name}", "parameters": {arguments}}',
        separator="; ",
    ),
    GENERIC,
    PLAIN_JSON,
)
FORMATS = {form.name: form for form in _ALL}


def shown_format(template: str) -> ToolFormat | None:
    """The first format that a chat template shows; None where it has no place for tools."""
    return next((form for form in _ALL if form.is_shown_by(template)), None)
