"""The formats of tool calls, by name."""

from server.chat.tool_parsers.json_format import JsonFormat
from server.chat.tool_parsers.tool_format import ToolFormat

HERMES = JsonFormat(
    "hermes",
    triggers=("<tool_call>",),
    markers=("<tool_call>", "</tool_call>"),
    end="</tool_call>",
    opening="<tool_call>\n",
    closing="\n</tool_call>",
)
LLAMA_JSON = JsonFormat(
    "llama3_json",
    triggers=("<|python_tag|>",),
    markers=("<|python_tag|>",),
    is_bare=True,
    separator="; ",
    arguments_key="parameters",
)
PLAIN_JSON = JsonFormat("json", is_bare=True)
GRANITE = JsonFormat(
    "granite",
    triggers=("<|tool_call|>",),
    markers=("<|tool_call|>",),
    opening="<|tool_call|>[",
    closing="]",
    separator=", ",
)
NEMOTRON = JsonFormat(
    "nemotron",
    triggers=("<TOOLCALL>",),
    markers=("<TOOLCALL>", "</TOOLCALL>"),
    end="</TOOLCALL>",
    opening="<TOOLCALL>[",
    closing="]</TOOLCALL>",
    separator=", ",
)
APRIEL = JsonFormat(
    "apriel",
    triggers=("<tool_calls>",),
    markers=("<tool_calls>", "</tool_calls>"),
    end="</tool_calls>",
    opening="<tool_calls>[",
    closing="]</tool_calls>",
    separator=", ",
)
COHERE = JsonFormat(
    "cohere",
    triggers=("<|START_ACTION|>",),
    markers=("<|START_ACTION|>", "<|END_ACTION|>"),
    end="<|END_ACTION|>",
    opening="<|START_ACTION|>[",
    closing="]<|END_ACTION|>",
    separator=", ",
    name_key="tool_name",
    arguments_key="parameters",
)

FORMATS: dict[str, ToolFormat] = {
    form.name: form for form in (HERMES, LLAMA_JSON, PLAIN_JSON, GRANITE, NEMOTRON, APRIEL, COHERE)
}
