"""Turns and tools as the plain values that templates read."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from caravan.chat.rendering.traits import Beside, Detail, NoTools, NullContent, Traits
from caravan.chat.rendering.turns import Call, Turn

_Values = dict[str, Any]


def entry_of(turn: Turn, traits: Traits) -> _Values:
    """Make the object of one message that the template reads."""
    entry: _Values = {"role": turn.role, "content": turn.content}
    if turn.call_id is not None:
        entry["tool_call_id"] = turn.call_id
    if turn.name is not None:
        entry["name"] = turn.name
    if turn.calls:
        entry["tool_calls"] = [_call(call, traits) for call in turn.calls]
        if turn.content and traits.beside_calls is Beside.PLAN:
            entry |= {"tool_plan": turn.content, "content": None}
    if turn.thought and (traits.thought_beside_content or not (turn.calls and turn.content)):
        entry[traits.thought] = turn.thought
    if entry["content"] is None or (turn.calls and not entry["content"]):
        _fill_null(entry, traits.null_content)
    elif traits.takes_parts:
        entry["content"] = [{"type": "text", "text": entry["content"]}]
    return entry


def _fill_null(entry: _Values, null_content: NullContent) -> None:
    entry["content"] = None if null_content is NullContent.NULL else ""
    if null_content is NullContent.ABSENT:
        del entry["content"]


def _call(call: Call, traits: Traits) -> _Values:
    arguments: object = call.arguments
    if traits.arguments_as_text:
        arguments = json.dumps(call.arguments, ensure_ascii=False)
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def tool_values(tools: Sequence[Mapping[str, Any]] | None, traits: Traits) -> dict[str, Any]:
    """The variable in which the template looks for tools."""
    variable = traits.tools_variable
    if variable is None:
        return {"tools": None}
    values: dict[str, Any] = {} if variable == "tools" else {"tools": None}
    if tools:
        shown = [_detailed(tool, traits.detail) for tool in tools]
        values[variable] = json.dumps(shown, ensure_ascii=False, indent=4) if traits.tools_as_text else shown
    elif traits.no_tools is NoTools.EMPTY:
        values[variable] = "[]" if traits.tools_as_text else []
    elif traits.no_tools is NoTools.NONE:
        values[variable] = None
    return values


def _detailed(tool: Mapping[str, Any], detail: Detail) -> Mapping[str, Any]:
    """The tool with what the template would miss."""
    if detail is Detail.NONE:
        return tool
    function = _with({**tool["function"]}, description="")
    parameters = _with({**(function.get("parameters") or {})}, type="object", properties={}, required=[])
    properties = parameters["properties"].items()
    if detail is not Detail.DESCRIPTIONS:
        is_full = detail is Detail.VALUES
        properties = [(name, _typed(schema, is_full)) for name, schema in properties]
    parameters["properties"] = {name: _described(schema) for name, schema in properties}
    function["parameters"] = parameters
    return {**tool, "function": function}


def _with(values: _Values, **defaults: object) -> _Values:
    """The values with what they lack behind them, so that all else is as it was."""
    return values | {name: default for name, default in defaults.items() if name not in values}


def _described(schema: object) -> object:
    return _with(schema, description="") if isinstance(schema, dict) else schema


def _typed(schema: object, is_full: bool) -> object:
    """A schema with one plain type on each level, as far as templates look."""
    if not isinstance(schema, dict):
        return schema
    typed = schema | {"type": _plain_type(schema)}
    if is_full and typed["type"] == "object" and not isinstance(typed.get("additionalProperties"), dict):
        typed["additionalProperties"] = {"type": "string"}
    for key in ("items", "additionalProperties"):
        if key in typed:
            typed[key] = _typed(typed[key], is_full)
    if isinstance(typed.get("properties"), dict):
        typed["properties"] = {name: _typed(value, is_full) for name, value in typed["properties"].items()}
    return typed


def _plain_type(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), None)
    if isinstance(kind, str):
        return kind
    values = schema.get("enum")
    if isinstance(values, list) and all(isinstance(value, str) for value in values):
        return "string"
    options = schema.get("anyOf") or schema.get("oneOf") or ()
    found = (_plain_type(option) for option in options if isinstance(option, dict))
    return next((name for name in found if name != "null"), "object")
