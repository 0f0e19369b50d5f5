"""Calls of tools that run Python, which models write as nothing but the code, behind a mark."""

import json
from collections.abc import Sequence

from caravan.chat.parsing.event_writer import EventWriter
from caravan.chat.parsing.incremental_reader import Markers, Reader, Steps
from caravan.chat.parsing.literals import escaped
from caravan.chat.tool_formats.lark_writer import LarkWriter
from caravan.chat.tool_formats.parameters import declared
from caravan.chat.tool_formats.tool_spec import ToolSpec
from caravan.grammars.lark_text import literal_pattern

TAG = "<|python_tag|>"
# What such tools are called, and the argument that is the code where several are texts.
_NAMES = ("python", "ipython", "code_interpreter")
_CODE = "code"


def code_tool(tools: Sequence[ToolSpec]) -> tuple[ToolSpec, str] | None:
    """The tool that code is meant for, and the argument that it is; None where there is no such."""
    by_name = {tool.name: tool for tool in tools}
    for name in _NAMES:
        if name in by_name and (key := _code_argument(by_name[name])) is not None:
            return by_name[name], key
    return None


def _code_argument(tool: ToolSpec) -> str | None:
    if tool.input_grammar is not None:
        return None
    parameters = declared(tool)
    texts = [parameter for parameter in parameters if parameter.is_text]
    named = [parameter for parameter in texts if parameter.name == _CODE] or texts
    required = {parameter.name for parameter in parameters if parameter.is_required}
    if len(named) != 1 or required - {named[0].name} or not named[0].is_any_text:
        return None
    return named[0].name


def read_code(
    reader: Reader, writer: EventWriter, tool: ToolSpec, key: str, ends: tuple[str, ...] = ()
) -> Steps[None]:
    """The code, which is all that follows, up to one of the `ends`. Some templates show a JSON string."""
    writer.start_call(tool.name)
    if (yield from reader.peek()) == '"':
        pieces: list[str] = []
        yield from reader.until(Markers(*ends), pieces.append)
        writer.arguments(json.dumps({key: _unquoted("".join(pieces))}, ensure_ascii=False))
    else:
        writer.arguments(f'{{"{escaped(key)}": "')
        yield from reader.until(Markers(*ends), lambda text: writer.arguments(escaped(text)))
        writer.arguments('"}')
    writer.end_call()
    reader.forget()


def _unquoted(code: str) -> str:
    try:
        text = json.loads(code)
    except ValueError:
        return code
    return text if isinstance(text, str) else code


def code_rule(lark: LarkWriter, other_beginnings: Sequence[str] = ()) -> str:
    """A terminal of code, which neither looks like JSON nor begins like other calls."""
    others = "|".join(map(literal_pattern, other_beginnings))
    code = lark.terminal(r"[ \t\r\n]*[^ \t\r\n{\[`](?s:.*)")
    return lark.without(code, rf"[ \t\r\n]*(?:{others})(?s:.*)") if others else code


def is_code(reader: Reader) -> Steps[bool]:
    """Whether code stands behind the mark, and no JSON; white space in front is read."""
    yield from reader.skip_space()
    return (yield from reader.peek()) not in ("{", "[", "`", "")
