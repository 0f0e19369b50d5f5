"""Arguments that formats write one by one, as plain text: their types and their JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from caravan.chat.parsing.incremental_reader import Markers, Reader, RejectedError, Sink, Steps
from caravan.chat.parsing.literals import JSON, PYTHON, converted, copy_value, escaped
from caravan.chat.tool_formats.lark_writer import DEFINITIONS, LarkWriter
from caravan.chat.tool_formats.tool_spec import ToolSpec

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
# What a schema may say of text that is not to be checked.
_NOTES = frozenset(("type", "title", "description", "default", "examples"))
# What a schema may say of a list or an object, and rules for what is in it keep to.
_OF_NESTED = frozenset(
    ("type", "properties", "required", "additionalProperties", "items", "title", "description")
)


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

    @property
    def is_any_text(self) -> bool:
        """Whether the schema asks nothing of a text that has to be checked."""
        return self.schema.keys() <= _NOTES

    @property
    def item(self) -> "Parameter | None":
        """The items of a list. None if the schema says more of the list than what its items are."""
        items = self.schema.get("items")
        if not isinstance(items, Mapping) or not self._is_plain("array"):
            return None
        return Parameter("item", items, self.root, is_strict=self.is_strict)

    @property
    def members(self) -> "list[Parameter]":
        """The members of an object. Empty if the schema says more of the object than which they are."""
        if not self.schema.get("properties") or not self._is_plain("object"):
            return []
        definitions = {key: self.root[key] for key in DEFINITIONS if key in self.root}
        return declared(ToolSpec(self.name, {**definitions, **self.schema}, self.is_strict))

    def _is_plain(self, kind: str) -> bool:
        return (
            not self.is_quoted
            and types(self.schema, self.root) == {kind}
            and self.schema.keys() <= _OF_NESTED
        )

    def json(self, lark: LarkWriter) -> str:
        """Write the rule for its value as JSON."""
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


def types(schema: Schema, root: Schema, depth: int = 0) -> set[str] | None:
    """The JSON types that a schema names; None if it leaves them open, or leads back to itself."""
    if depth > _MAX_REFERENCES:
        return None
    schema = resolved(schema, root)
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
        more = types(option, root, depth + 1) if isinstance(option, Mapping) else None
        if more is None:
            return None
        found |= more
    return found


def resolved(schema: Schema, root: Schema) -> Schema:
    """Follow a local `$ref` to the schema that it names; one that leads nowhere gives the empty schema."""
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
    """Get the option of an `anyOf` or `oneOf` that speaks of values of one type, or the schema itself."""
    schema = resolved(schema, root)
    for option in schema.get("anyOf", schema.get("oneOf", ())):
        if isinstance(option, Mapping) and kind in (types(option, root) or {kind}):
            return resolved(option, root)
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
    text = yield from read_value(reader, end)
    sink(converted_text(text, parameter, pad))


def read_value(reader: Reader, end: str) -> Steps[str]:
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
