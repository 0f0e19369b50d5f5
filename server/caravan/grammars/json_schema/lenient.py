"""Schemas of which as much is kept to as can be: what cannot be enforced is left out, keyword by keyword."""

import time
from typing import Any

from caravan.grammars.compiler import GrammarCompiler
from caravan.grammars.json_schema.locate_error import fault_of, is_pattern, located
from caravan.grammars.json_schema.normalize import PlainSchema, SchemaError, plain
from caravan.grammars.json_schema.references import Path

# Each finds one thing to leave out; then nothing is left.
_MAX_ROUNDS = 40
_MAX_SECONDS = 2.0
# What a part that fails as a whole may be relieved of, the least telling first.
_KEYWORDS = (
    *("minProperties", "maxProperties", "patternProperties", "pattern", "format", "multipleOf"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength"),
    *("minItems", "maxItems", "allOf", "oneOf", "anyOf", "const", "enum", "$ref", "additionalProperties"),
    *("prefixItems", "items", "required", "properties", "type"),
)

_ANY_OBJECT: dict[str, Any] = {"type": "object"}


def kept(grammars: GrammarCompiler, root: dict[str, Any]) -> PlainSchema:
    """Find what of an object's schema can be kept to."""
    deadline = time.monotonic() + _MAX_SECONDS
    try:
        dropped = _bad_patterns(grammars, root)
    except SchemaError:
        return nothing()
    for _ in range(_MAX_ROUNDS):
        if time.monotonic() > deadline:
            break
        try:
            return located(grammars, root, is_lax=True, dropped=dropped).plain
        except SchemaError as error:
            path = _to_drop(grammars, root, error.path, dropped)
        if path in dropped:
            break
        dropped[path] = None
    return nothing()


def nothing() -> PlainSchema:
    """Return what is kept to where nothing can be: arguments are an object."""
    return PlainSchema(_ANY_OBJECT, {}, {}, {}, ((),))


def _bad_patterns(grammars: GrammarCompiler, root: dict[str, Any]) -> dict[Path, None]:
    """All at once, since there may be one for each property."""
    known: dict[str, bool] = {}
    found: dict[Path, None] = {}
    for path, schema in plain(root, is_lax=True).originals.items():
        pattern = schema.get("pattern")
        if isinstance(pattern, str):
            if pattern not in known:
                known[pattern] = is_pattern(grammars, pattern)
            if not known[pattern]:
                found[(*path, "pattern")] = None
    return found


def _to_drop(grammars: GrammarCompiler, root: dict[str, Any], path: Path, dropped: dict[Path, None]) -> Path:
    """The keyword at a path that fails, or all of it if that is a schema that no single one fails."""
    try:
        schema = plain(root, is_lax=True, dropped=dropped).originals.get(path)
    except SchemaError:
        return path
    if schema is None:
        return path
    for keyword in _KEYWORDS:
        candidate = (*path, keyword)
        if keyword not in schema or candidate in dropped:
            continue
        if fault_of(grammars, root, path, is_lax=True, dropped={*dropped, candidate}) is None:
            return candidate
    return path
