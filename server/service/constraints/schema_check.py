"""What a schema must be before a grammar is made of it: sound, bounded, and enforceable in each keyword."""

from collections.abc import Container, Iterator
from typing import Any

from server.json_pointer import pointer, resolve
from server.service.constraints.keywords import check_of, subschemas

MAX_BYTES = 262_144
MAX_SCHEMAS = 5_000
MAX_DEPTH = 64
MAX_VALUES = 10_000

# OpenAI's own limits for strict schemas.
_STRICT_DEPTH = 10
_STRICT_PROPERTIES = 5_000
_STRICT_VALUES = 1_000
_NOT_STRICT = ("allOf", "patternProperties")


class SchemaError(Exception):
    """What is wrong with a schema, and the JSON pointer of the place."""

    def __init__(self, message: str, path: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.pointer = pointer(path)


def check(root: dict[str, Any]) -> None:
    """Refuse a schema that cannot be enforced to the letter; raises SchemaError."""
    num_values = 0
    places: dict[int, tuple[str, ...]] = {}
    references: list[tuple[tuple[str, ...], dict[str, Any]]] = []
    for count, (path, schema) in enumerate(walk(root)):
        if count >= MAX_SCHEMAS:
            raise SchemaError(f"has more than {MAX_SCHEMAS} schemas in it")
        if isinstance(schema, dict):
            places[id(schema)] = path
            num_values += len(schema.get("enum", ()))
            if num_values > MAX_VALUES:
                raise SchemaError(f"has more than {MAX_VALUES} enum values", (*path, "enum"))
            if "$ref" in schema:
                references.append((path, schema))
    for path, schema in references:
        _check_reference(root, path, schema, places)


def walk(root: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], dict[str, Any] | bool]]:
    """A schema and all in it, outer ones first, each with its path and its keywords checked."""
    waiting: list[tuple[int, tuple[str, ...], Any]] = [(0, (), root)]
    while waiting:
        depth, path, schema = waiting.pop()
        if not isinstance(schema, dict | bool):
            raise SchemaError("must be a schema: an object or a boolean", path)
        if depth > MAX_DEPTH:
            raise SchemaError(f"is nested more than {MAX_DEPTH} deep", path)
        if isinstance(schema, dict):
            _check_keywords(path, schema)
            waiting.extend((depth + 1, path + step, inner) for step, inner in subschemas(schema))
        yield path, schema


def check_strict(root: dict[str, Any]) -> None:
    """Refuse a sound schema that breaks OpenAI's rules for strict ones; raises SchemaError."""
    if root.get("type") != "object":
        raise SchemaError("must be 'object' at the root of a strict schema", ("type",))
    num_properties = num_values = 0
    for path, schema in walk(root):
        if not isinstance(schema, dict):
            continue
        num_properties += len(schema.get("properties", ()))
        num_values += len(schema.get("enum", ()))
        if num_properties > _STRICT_PROPERTIES or num_values > _STRICT_VALUES:
            limits = f"{_STRICT_PROPERTIES} properties and {_STRICT_VALUES} enum values"
            raise SchemaError(f"has more than the {limits} that a strict schema may have")
        if path.count("properties") + path.count("items") > _STRICT_DEPTH:
            raise SchemaError(f"is nested more than {_STRICT_DEPTH} deep, too much for a strict schema", path)
        _check_strict_object(path, schema)


def _check_keywords(path: tuple[str, ...], schema: dict[str, Any]) -> None:
    for keyword, value in schema.items():
        fault = check_of(keyword)(value)
        if fault is not None:
            raise SchemaError(fault, (*path, keyword))
    # Inside another schema it would change what references mean.
    if path and "$id" in schema:
        raise SchemaError("is only supported at the root", (*path, "$id"))


def _check_reference(
    root: dict[str, Any], path: tuple[str, ...], schema: dict[str, Any], places: Container[int]
) -> None:
    """A reference leads to a schema that was checked, and not in a circle that never enters the value."""
    seen = set()
    target: Any = schema
    while isinstance(target, dict) and "$ref" in target:
        if id(target) in seen:
            raise SchemaError("refers to itself", (*path, "$ref"))
        seen.add(id(target))
        try:
            target = resolve(root, target["$ref"])
        except LookupError:
            raise SchemaError(f"points to nothing: {target['$ref'][:200]}", (*path, "$ref")) from None
        if not isinstance(target, bool) and id(target) not in places:
            raise SchemaError("does not point to a schema", (*path, "$ref"))


def _check_strict_object(path: tuple[str, ...], schema: dict[str, Any]) -> None:
    for keyword in _NOT_STRICT:
        if keyword in schema:
            raise SchemaError("is not allowed in a strict schema", (*path, keyword))
    kinds = schema.get("type", ())
    if "object" not in (kinds if isinstance(kinds, list) else [kinds]) and "properties" not in schema:
        return
    if schema.get("additionalProperties") is not False:
        message = "must be false in every object of a strict schema"
        raise SchemaError(message, (*path, "additionalProperties"))
    missing = schema.get("properties", {}).keys() - set(schema.get("required", ()))
    if missing:
        first = next(name for name in schema["properties"] if name in missing)
        raise SchemaError(
            f"must name every property in a strict schema; '{first}' is missing", (*path, "required")
        )
