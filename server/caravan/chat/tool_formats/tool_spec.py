"""Tools as formats and grammars see them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

INPUT = "input"


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool that the model may call. `parameters` is the JSON schema of an object.

    Grammars keep to the schema. Where a format cannot keep to all of it, a `strict` tool is refused, and of
    another one the rest is left to the model.

    With an `input_grammar`, in Lark, the tool is a custom one whose input all formats write as a JSON string.
    `input_rules` is the counterpart of that grammar that speaks of what stands between the quotes.
    """

    name: str
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object"})
    strict: bool = False
    input_grammar: str | None = None
    input_rules: str | None = None


def custom_tool(name: str, pattern: str | None = None, grammar: str | None = None) -> ToolSpec:
    """A tool whose input is one text. It may have to match a regular expression or a grammar as a whole."""
    text: dict[str, Any] = {"type": "string"}
    if pattern is not None:
        text["pattern"] = f"^(?:{pattern})$"
    if grammar is not None:
        text["description"] = f"Text of this grammar in Lark:\n{grammar}"
    parameters = {
        "type": "object",
        "properties": {INPUT: text},
        "required": [INPUT],
        "additionalProperties": False,
    }
    return ToolSpec(name, parameters, strict=True, input_grammar=grammar)
