"""Where large numbers are in a schema: which parts of it cannot be llguidance's own grammars of JSON."""

from collections.abc import Container, Iterator
from typing import Any

from caravan.grammars.exact_json.numbers import BOUNDS, has_large, has_large_bounds
from caravan.grammars.json_schema.json_pointer import resolve

_MAPS = ("properties", "patternProperties")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("additionalProperties", "items")


def parts(schema: dict[str, Any]) -> Iterator[Any]:
    """The schemas directly inside a schema, its definitions aside."""
    for keyword in _MAPS:
        yield from schema.get(keyword, {}).values()
    for keyword in _LISTS:
        yield from schema.get(keyword, ())
    yield from (schema[keyword] for keyword in _SINGLE if keyword in schema)


def large_number(
    root: dict[str, Any], schema: dict[str, Any], places: Container[int]
) -> tuple[dict[str, Any], str]:
    """The schema at or below one of these places that has a large number, and the keyword that holds it."""
    seen: set[int] = set()
    while id(schema) not in seen:
        seen.add(id(schema))
        for keyword in (*BOUNDS, "const", "enum"):
            if keyword in schema and has_large(schema[keyword]):
                return schema, keyword
        inner = [*parts(schema), resolve(root, schema["$ref"]) if "$ref" in schema else None]
        schema = next((part for part in inner if id(part) in places and id(part) not in seen), schema)
    return schema, ""


def large_places(root: dict[str, Any]) -> frozenset[int]:
    """The ids of all schemas that lead to a large number: in their values, their bounds or their parts."""
    within: dict[int, list[int]] = {}
    found: list[int] = []
    waiting: list[Any] = [root]
    seen = {id(root)}
    while waiting:
        schema = waiting.pop()
        if has_large_bounds(schema) or has_large([schema.get("const"), schema.get("enum", [])]):
            found.append(id(schema))
        inner = list(parts(schema))
        if "$ref" in schema:
            inner.append(resolve(root, schema["$ref"]))
        for part in inner:
            if isinstance(part, dict):
                within.setdefault(id(part), []).append(id(schema))
                if id(part) not in seen:
                    seen.add(id(part))
                    waiting.append(part)
    marked = set(found)
    while found:
        for outer in within.get(found.pop(), ()):
            if outer not in marked:
                marked.add(outer)
                found.append(outer)
    return frozenset(marked)
