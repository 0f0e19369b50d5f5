"""Harmony's calls: messages to a function, with JSON as their text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from caravan.chat.parsing.event_writer import EventWriter
from caravan.chat.parsing.incremental_reader import Markers, Reader, RejectedError, Steps
from caravan.chat.tool_formats.base import ToolFormat, end_call
from caravan.chat.tool_formats.json_format import copy_arguments
from caravan.chat.tool_formats.lark_writer import LarkWriter, either
from caravan.chat.tool_formats.tool_spec import ToolSpec

RECIPIENT = "to=functions."
_HEAD = "<|channel|>commentary to=functions."
_MESSAGE = "<|message|>"
_NAME = re.compile(r"[^\s<]*")


@dataclass(frozen=True)
class HarmonyFormat(ToolFormat):
    """The recipient may stand before or after the channel; grammars write it after. A message is one call."""

    name: str = "harmony"
    triggers: tuple[str, ...] = (_HEAD, f"<|start|>assistant{_HEAD}", "<|start|>assistant to=functions.")
    markers: tuple[str, ...] = (
        "<|start|>",
        "<|channel|>",
        "<|constrain|>",
        _MESSAGE,
        "<|end|>",
        "<|return|>",
        "<|call|>",
    )
    is_json = True

    def read(self, reader: Reader, writer: EventWriter) -> Steps[None]:
        """From the function's name on."""
        name = yield from reader.collect(_NAME)
        writer.check_name(name)
        if not (yield from reader.until(Markers(_MESSAGE), lambda _: None)):
            raise RejectedError
        writer.start_call(name)
        yield from copy_arguments(reader, writer.arguments)
        end_call(reader, writer)

    def rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:  # noqa: ARG002
        after = [
            f"{lark.literal(f'{tool.name} <|constrain|>json{_MESSAGE}')} {lark.arguments(tool)}"
            for tool in tools
        ]
        before = [
            f"{lark.literal(f'{tool.name}<|channel|>commentary json{_MESSAGE}')} {lark.arguments(tool)}"
            for tool in tools
        ]
        start = lark.literal("<|start|>assistant")
        return (
            f"({start})? {lark.literal(_HEAD)} {lark.rule(either(after))}"
            f" | {start} {lark.literal(' to=functions.')} {lark.rule(either(before))}"
        )
