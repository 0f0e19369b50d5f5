"""Grammars of arguments that formats write one by one, and what of their schemas these leave out."""

from collections.abc import Iterator, Mapping
from typing import Any

from caravan.chat.tool_formats.lark_writer import DEFINITIONS, LarkWriter, either
from caravan.chat.tool_formats.parameters import (
    Parameter,
    Schema,
    accepts_any,
    declared,
    named,
    resolved,
    types,
)
from caravan.chat.tool_formats.tool_spec import ToolSpec
from caravan.errors import InvalidRequestError
from caravan.grammars.json_schema.full_match import whole
from caravan.grammars.lark_text import literal_pattern

# Keywords that are known here: at the root of a tool's schema, and in texts.
_COUNTS = frozenset(("minProperties", "maxProperties"))
_NOTES = frozenset(("title", "description"))
_OF_ROOT = frozenset((*DEFINITIONS, "type", "properties", "required", "additionalProperties"))
_OF_TEXTS = frozenset(("enum", "const", "minLength", "maxLength", "pattern", "$ref", "allOf", "anyOf"))
_NEVER_OF_TEXTS = ("format", "oneOf")
_MAX_FORMS = 64
_MAX_DEPTH = 16

# Patterns that a text has to match, all of them.
_Form = tuple[str, ...]


def parameter_rule(
    lark: LarkWriter, parameter: Parameter, end: str, pad: str = "", *, pattern: str = "(?s:.*)"
) -> str:
    """A value, with what stands around it. Text as it is has to match the `pattern` as well.

    Raises InvalidRequestError where what is strict cannot be kept to.
    """
    if not parameter.is_text:
        value = parameter.json(lark)
        return lark.rule(f"{lark.literal(pad)} {value} {lark.literal(pad + end)}".strip())
    values = _listed(parameter)
    if values is not None:
        options = either([lark.literal(value) or '""' for value in values])
        return lark.rule(f"{lark.literal(pad)} {options} {lark.literal(pad + end)}".strip())
    texts = _Texts(parameter)
    if parameter.is_strict and texts.unkept:
        message = (
            f"This model writes the argument '{parameter.name}' as plain text, of which not all can be"
            " enforced that its schema asks for. Leave that out, or 'strict'."
        )
        raise InvalidRequestError(message, param="tools", code="invalid_value")
    text = either([lark.until(pad + end, pattern, *form) for form in texts.forms])
    return lark.rule(f"{lark.literal(pad)} {text}".strip())


def _listed(parameter: Parameter) -> list[str] | None:
    """The values of a text that may be one of some, and of which nothing else is asked."""
    schema = resolved(parameter.schema, parameter.root)
    if schema is not parameter.schema and not parameter.schema.keys().isdisjoint(_OF_TEXTS - {"$ref"}):
        return None
    asked = schema.keys() & {*_OF_TEXTS, *_NEVER_OF_TEXTS}
    if asked == {"const"}:
        return [schema["const"]]
    return list(schema["enum"]) if asked == {"enum"} else None


def unkept(tool: ToolSpec, *, is_nested: bool) -> Iterator[tuple[Schema, str]]:
    """The keywords that rules of arguments one by one leave out, each with the schema that it stands in.

    With `is_nested`, lists and objects among the arguments are written so, too.
    """
    root = tool.parameters
    yield from ((root, keyword) for keyword in root.keys() - _OF_ROOT - _COUNTS - _NOTES)
    properties, required = root.get("properties", {}), set(root.get("required", ()))
    num_declared = len(declared(tool))
    if any(properties.get(name) is False for name in required):
        yield root, "required"
    if root.get("minProperties", 0) > len(required):
        yield root, "minProperties"
    if "maxProperties" in root and (accepts_any(tool) or root["maxProperties"] < num_declared):
        yield root, "maxProperties"
    waiting = [named(tool, "")] if accepts_any(tool) else declared(tool)
    while waiting:
        parameter = waiting.pop()
        if parameter.is_text:
            yield from _Texts(parameter).unkept
        elif is_nested:
            waiting += [*filter(None, [parameter.item]), *parameter.members]


class _Texts:
    """What a parameter's text may be: one of some `forms`. `unkept` are keywords that they leave out."""

    def __init__(self, parameter: Parameter) -> None:
        self._root = parameter.root
        self.unkept: list[tuple[Schema, str]] = []
        self.forms = self._forms(parameter.schema, 0)
        if not self.forms:
            self.unkept.append((parameter.schema, "type"))
            self.forms = [()]

    def _forms(self, schema: Any, depth: int) -> list[_Form]:  # noqa: ANN401 (a schema, or a boolean)
        if not isinstance(schema, Mapping):
            return [()] if schema else []
        if depth > _MAX_DEPTH:
            self.unkept.append((schema, "$ref" if "$ref" in schema else "anyOf"))
            return [()]
        if "string" not in (types(schema, self._root) or {"string"}):
            return []
        self.unkept += [(schema, keyword) for keyword in _NEVER_OF_TEXTS if keyword in schema]
        forms = [self._own(schema)]
        inner = [[part] for part in schema.get("allOf", ())]
        if "$ref" in schema:
            inner.append([resolved({"$ref": schema["$ref"]}, self._root)])
        if "anyOf" in schema:
            inner.append(schema["anyOf"])
        for options in inner:
            found = [form for option in options for form in self._forms(option, depth + 1)]
            if len(forms) * len(found) > _MAX_FORMS:
                self.unkept.append((schema, "anyOf" if "anyOf" in schema else "allOf"))
                continue
            forms = [(*before, *form) for before in forms for form in found]
        return forms

    def _own(self, schema: Schema) -> _Form:
        """Collect the patterns that a schema asks for, leaving `$ref`, `allOf` and `anyOf` aside."""
        patterns = []
        for values in (schema.get("enum"), [schema["const"]] if "const" in schema else None):
            if values is not None:
                texts = [literal_pattern(value) for value in values if isinstance(value, str)]
                patterns.append(f"(?:{'|'.join(texts)})")
        if "minLength" in schema or "maxLength" in schema:
            patterns.append(f"(?s:.{{{schema.get('minLength', 0)},{schema.get('maxLength', '')}}})")
        if isinstance(schema.get("pattern"), str):
            pattern = whole(schema["pattern"])
            if pattern is None:
                self.unkept.append((schema, "pattern"))
            else:
                patterns.append(pattern)
        return tuple(patterns)
