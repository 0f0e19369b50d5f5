"""Llama 3's calls: JSON, and behind a mark also built-in tools by name and arguments, or nothing but code."""

from collections.abc import Sequence
from dataclasses import dataclass

from caravan.chat.parsing.event_writer import EventWriter
from caravan.chat.parsing.incremental_reader import Reader, RejectedError, Steps
from caravan.chat.tool_formats.json_calls import JsonFormat
from caravan.chat.tool_formats.lark_writer import LarkWriter, either
from caravan.chat.tool_formats.parameters import accepts_any, declared
from caravan.chat.tool_formats.pythonic import arguments_rule, read_arguments
from caravan.chat.tool_formats.raw_code import TAG, code_rule, code_tool, is_code, read_code
from caravan.chat.tool_formats.tool_spec import ToolSpec


@dataclass(frozen=True, kw_only=True)
class LlamaFormat(JsonFormat):
    """`<|python_tag|>NAME.call(key="text")` is how templates show built-in tools, with texts as arguments."""

    def read_after(self, trigger: str, reader: Reader, writer: EventWriter) -> Steps[None]:  # noqa: ARG002
        """JSON, a built-in call, or code."""
        tools = list(writer.tools.values())
        if not (yield from is_code(reader)):
            yield from self.read(reader, writer)
            return
        heads = {f"{tool.name}.call(": tool.name for tool in tools if _is_built_in(tool)}
        code = code_tool(tools)
        head = (yield from reader.accept(*heads)) if heads else ""
        if head:
            yield from read_arguments(reader, writer, heads[head])
        elif code is not None:
            yield from read_code(reader, writer, *code)
        else:
            raise RejectedError

    def free_rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        built_in = [tool for tool in tools if _is_built_in(tool)]
        heads = [f"{tool.name}.call(" for tool in built_in]
        options = [
            f'{lark.literal(TAG)} {lark.literal(head)} {arguments_rule(lark, tool)} ")"'
            for head, tool in zip(heads, built_in, strict=True)
        ]
        if code_tool(tools) is not None:
            options.append(f"{lark.literal(TAG)} {code_rule(lark, heads)}")
        return either([super().free_rules(lark, tools, parallel=parallel), *options])


def _is_built_in(tool: ToolSpec) -> bool:
    """Whether a template can show its calls so: it puts quotes around all arguments."""
    parameters = declared(tool)
    is_plain = tool.input_grammar is None and not accepts_any(tool)
    return is_plain and bool(parameters) and all(parameter.is_text for parameter in parameters)
