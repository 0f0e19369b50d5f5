"""Arguments that formats write one by one, as plain text: their types, their JSON, their grammars."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from server.chat.lark import DEFINITIONS, LarkWriter, either
from server.chat.literals import JSON, PYTHON, converted, copy_value, escaped
from server.chat.reader import Markers, Reader, RejectedError, Sink, Steps
from server.chat.text_patterns import whole
from server.chat.tool_spec import ToolSpec
from server.errors import InvalidRequestError

Schema = Mapping[str, Any]

_NUMBERS = ("integer", "number")
_TYPES_BY_START = {
    '"': ("string",),
    "{": ("object",),
    "[": ("array",),
    "t": ("boolean",),
    "f": ("boolean",),
    "n": ("null",),
    **dict.fromkeys("-0123456789", _NUMBERS),
}
# What parameters are called where a schema leaves it open.
ANY_NAME = "[A-Za-z_][A-Za-z0-9_]{0,63}"
_MAX_REFERENCES = 16
# Keywords that the rules of arguments one by one know of: at the root of a tool's schema, in what is a list
# or an object, and in what is a text.
_COUNTS = frozenset(("minProperties", "maxProperties"))
_NOTES = frozenset(("title", "description"))
_OF_ROOT = frozenset(
    (*DEFINITIONS, "type", "properties", "required", "additionalProperties", *_COUNTS, *_NOTES)
)
_OF_NESTED = frozenset(("type", "properties", "required", "additionalProperties", "items", *_NOTES))
_LISTED = frozenset(("enum", "const"))
_NEVER_OF_TEXTS = frozenset(("format", "anyOf", "oneOf", "allOf"))
_OF_TEXTS = _LISTED | _NEVER_OF_TEXTS | {"minLength", "maxLength", "pattern"}


@dataclass(frozen=True)
class Parameter:
    """One declared parameter of a tool. `root` is the schema of all arguments.

    One that `is_quoted` is written as a JSON string in all formats; `rules` are what is between the quotes.
    """

    name: str
    schema: Schema
    root: Schema
    is_required: bool = False
    is_strict: bool = False
    is_quoted: bool = False
    rules: str | None = None

    @property
    def is_text(self) -> bool:
        """Whether its value can be nothing but a string, which is then written as it is."""
        return not self.is_quoted and types(self.schema, self.root) == {"string"}

    def json(self, lark: LarkWriter) -> str:
        """Its value as JSON."""
        return lark.json(self.schema, self.root) if self.rules is None else lark.quoted(self.rules)


def declared(tool: ToolSpec) -> list[Parameter]:
    """The parameters in the order of the schema."""
    root = tool.parameters
    required = list(root.get("required", ()))
    properties = dict(root.get("properties", {}))
    schemas = {**properties, **{name: {} for name in required if name not in properties}}
    schemas = {name: schema for name, schema in schemas.items() if schema is not False}
    return [
        Parameter(
            name,
            schema if isinstance(schema, Mapping) else {},
            root,
            name in required,
            tool.strict,
            is_quoted=tool.input_grammar is not None,
            rules=tool.input_rules,
        )
        for name, schema in schemas.items()
    ]


def members(parameter: Parameter) -> list[Parameter]:
    """The declared parameters of an object that is a parameter itself."""
    definitions = {key: parameter.root[key] for key in DEFINITIONS if key in parameter.root}
    schema = {**definitions, **_resolved(parameter.schema, parameter.root)}
    return declared(ToolSpec(parameter.name, schema, parameter.is_strict))


def named(tool: ToolSpec | None, name: str) -> Parameter:
    """The parameter of a name, also if nothing is known of it."""
    root = tool.parameters if tool else {}
    others = root.get("additionalProperties")
    schema = root.get("properties", {}).get(name, others)
    is_quoted = tool is not None and tool.input_grammar is not None
    return Parameter(name, schema if isinstance(schema, Mapping) else {}, root, is_quoted=is_quoted)


def accepts_any(tool: ToolSpec) -> bool:
    """Whether a schema names no parameter and forbids none."""
    return not declared(tool) and tool.parameters.get("additionalProperties") is not False


def types(schema: Schema, root: Schema) -> set[str] | None:
    """The JSON types that a schema names; None if it leaves them open."""
    schema = _resolved(schema, root)
    if "type" in schema:
        named = schema["type"]
        return {named} if isinstance(named, str) else set(named)
    values = schema["enum"] if "enum" in schema else [schema["const"]] if "const" in schema else None
    if values is not None:
        return {name for value in values for name in _TYPES_BY_START[json.dumps(value)[0]]}
    options = schema.get("anyOf", schema.get("oneOf"))
    if not options:
        return None
    found: set[str] = set()
    for option in options:
        more = types(option, root) if isinstance(option, Mapping) else None
        if more is None:
            return None
        found |= more
    return found


def _resolved(schema: Schema, root: Schema) -> Schema:
    """What a local reference leads to; open if it leads nowhere."""
    for _ in range(_MAX_REFERENCES):
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return schema
        target: Any = root
        for step in reference.removeprefix("#").split("/")[1:]:
            target = target.get(step, {}) if isinstance(target, Mapping) else {}
        schema = target if isinstance(target, Mapping) else {}
    return {}


def variant(schema: Schema, root: Schema, kind: str) -> Schema:
    """What a schema says of values of one type."""
    schema = _resolved(schema, root)
    for option in schema.get("anyOf", schema.get("oneOf", ())):
        if isinstance(option, Mapping) and kind in (types(option, root) or {kind}):
            return _resolved(option, root)
    return schema


def copy_parameter(reader: Reader, sink: Sink, parameter: Parameter, end: str, pad: str = "") -> Steps[None]:
    """A value up to and with its `end`, as JSON. A `pad` on either side of it does not belong to it."""
    if parameter.is_text:
        if pad:
            yield from reader.accept(pad)
        sink('"')
        found = yield from reader.until(Markers(*{pad + end, end}), lambda text: sink(escaped(text)))
        if not found:
            raise RejectedError
        sink('"')
        return
    text = yield from _read_value(reader, end)
    sink(converted_text(text, parameter, pad))


def _read_value(reader: Reader, end: str) -> Steps[str]:
    """The text before an `end`. Inside JSON's strings, that is text like any other."""
    assert reader.taken is not None
    start = len(reader.taken)
    try:
        yield from copy_value(reader, lambda _: None)
        yield from reader.skip_space()
    except RejectedError:
        pass
    pieces = reader.taken[start:]
    if not (yield from reader.until(Markers(end), pieces.append)):
        raise RejectedError
    return "".join(pieces)


def converted_text(text: str, parameter: Parameter, pad: str = "") -> str:
    """The JSON of a value that may be other than a string; what cannot be anything else is one after all."""
    allowed = types(parameter.schema, parameter.root)
    # Templates that print values without further ado print Python's.
    for notation in (JSON, PYTHON):
        value = converted(text, notation)
        if value is not None and (allowed is None or not allowed.isdisjoint(_TYPES_BY_START[value[0]])):
            return value
    return json.dumps(text.removeprefix(pad).removesuffix(pad), ensure_ascii=False)


def parameter_rule(
    lark: LarkWriter, parameter: Parameter, end: str, pad: str = "", *, pattern: str = "(?s:.*)"
) -> str:
    """A value, with what stands around it. Text as it is has to match the `pattern` as well."""
    if not parameter.is_text:
        value = parameter.json(lark)
        return lark.rule(f"{lark.literal(pad)} {value} {lark.literal(pad + end)}".strip())
    schema = _resolved(parameter.schema, parameter.root)
    values = schema["enum"] if "enum" in schema else [schema["const"]] if "const" in schema else None
    if values is not None:
        options = either([lark.literal(value) or '""' for value in values])
        return lark.rule(f"{lark.literal(pad)} {options} {lark.literal(pad + end)}".strip())
    text = lark.until(pad + end, pattern, *_patterns(parameter, schema))
    return lark.rule(f"{lark.literal(pad)} {text}".strip())


def _patterns(parameter: Parameter, schema: Schema) -> list[str]:
    """What the text itself has to match. Raises InvalidRequestError if that cannot be promised."""
    patterns = []
    if "minLength" in schema or "maxLength" in schema:
        patterns.append(f"(?s:.{{{schema.get('minLength', 0)},{schema.get('maxLength', '')}}})")
    pattern = whole(schema["pattern"]) if isinstance(schema.get("pattern"), str) else None
    if pattern is not None:
        patterns.append(pattern)
    if parameter.is_strict and any(_unkept_of_text(parameter)):
        message = (
            f"This model writes the argument '{parameter.name}' as plain text, of which not all can be"
            " enforced that its schema asks for. Leave that out, or 'strict'."
        )
        raise InvalidRequestError(message, param="tools", code="invalid_value")
    return patterns


def unkept(tool: ToolSpec, *, is_nested: bool) -> Iterator[tuple[Schema, str]]:
    """The keywords that rules of arguments one by one leave out, each with the schema that it stands in.

    With `is_nested`, lists and objects among the arguments are written so, too.
    """
    root = tool.parameters
    yield from ((root, keyword) for keyword in root.keys() - _OF_ROOT)
    num_declared, num_required = len(declared(tool)), len(set(root.get("required", ())))
    if root.get("minProperties", 0) > num_required:
        yield root, "minProperties"
    if accepts_any(tool) or root.get("maxProperties", num_declared) < num_declared:
        yield from ((root, keyword) for keyword in ("maxProperties",) if keyword in root)
    waiting = [named(tool, "")] if accepts_any(tool) else declared(tool)
    while waiting:
        parameter = waiting.pop()
        if parameter.is_text:
            yield from _unkept_of_text(parameter)
        elif is_nested and parameter.schema.keys() <= _OF_NESTED:
            items = parameter.schema.get("items")
            if isinstance(items, Mapping):
                waiting.append(Parameter("", items, parameter.root))
            if "properties" in parameter.schema:
                waiting += members(parameter)


def _unkept_of_text(parameter: Parameter) -> Iterator[tuple[Schema, str]]:
    """The keywords that `parameter_rule` leaves out of a text."""
    schema = _resolved(parameter.schema, parameter.root)
    if schema is not parameter.schema:
        yield from ((parameter.schema, keyword) for keyword in _OF_TEXTS & parameter.schema.keys())
    asked = _OF_TEXTS & schema.keys()
    if not _LISTED.isdisjoint(asked):
        yield from ((schema, keyword) for keyword in asked - _LISTED)
        return
    yield from ((schema, keyword) for keyword in asked & _NEVER_OF_TEXTS)
    if "pattern" in asked and whole(schema["pattern"]) is None:
        yield schema, "pattern"
