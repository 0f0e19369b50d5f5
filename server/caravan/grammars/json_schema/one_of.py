"""Proofs that the schemas of a `oneOf` exclude each other, so that any of them may be taken for one of them.

A proof rests on conditions that a value must meet to satisfy both of two schemas: its type, its value, its
bounds if it is a number, and its properties if it is an object.
"""

import itertools
import json
from collections.abc import Iterator
from typing import Any

from caravan.grammars.json_schema.json_pointer import resolve
from caravan.grammars.json_schema.normalize import schemas_of

_INTEGER, _FRACTION = "integer", "fraction"
_KINDS = {"number": (_INTEGER, _FRACTION), "integer": (_INTEGER,)}
_ALL = frozenset({"null", "boolean", _INTEGER, _FRACTION, "string", "array", "object"})
# Nothing is proven about more schemas in one place, nor by looking deeper than this.
_MAX_SCHEMAS = 100
_MAX_DEPTH = 6
_MAX_COMPARISONS = 20_000


def exclusive(root: dict[str, Any]) -> frozenset[int]:
    """List the ids of those schemas in a plain one whose `oneOf` has parts that surely exclude each other."""
    proof = _Proof(root)
    return frozenset(
        id(schema)
        for schema in schemas_of(root)
        if "oneOf" in schema
        and len(schema["oneOf"]) <= _MAX_SCHEMAS
        and all(proof.are_exclusive(a, b, _MAX_DEPTH) for a, b in itertools.combinations(schema["oneOf"], 2))
    )


class _Proof:
    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._num_left = _MAX_COMPARISONS

    def are_exclusive(self, left: object, right: object, depth: int) -> bool:
        """Tell whether no value satisfies both of two schemas, as far as that can be seen."""
        self._num_left -= 1
        if depth == 0 or self._num_left < 0:
            return False
        lefts, rights = list(self._conditions(left, depth)), list(self._conditions(right, depth))
        if False in lefts or False in rights:
            return True
        both = [one for one in (*lefts, *rights) if isinstance(one, dict)]
        kinds = _ALL.intersection(*map(_kinds, both))
        if not kinds or _have_no_value(both):
            return True
        if kinds <= {_INTEGER, _FRACTION}:
            return _have_no_number(both)
        if kinds == {"object"}:
            return any(
                self._contradict(a, b, depth) or self._contradict(b, a, depth)
                for a in lefts
                for b in rights
                if isinstance(a, dict) and isinstance(b, dict)
            )
        return False

    def _conditions(self, schema: object, depth: int) -> Iterator[dict[str, Any] | bool]:
        """Schemas that all hold where a schema holds."""
        if not isinstance(schema, dict):
            yield bool(schema)
            return
        yield schema
        if depth == 0:
            return
        if "$ref" in schema:
            yield from self._conditions(resolve(self._root, schema["$ref"]), depth - 1)
        for inner in schema.get("allOf", ()):
            yield from self._conditions(inner, depth - 1)

    def _contradict(self, demanding: dict[str, Any], other: dict[str, Any], depth: int) -> bool:
        """Whether a property that one schema demands cannot be as the other wants it."""
        known = other.get("properties", {})
        is_closed = other.get("additionalProperties") is False and not other.get("patternProperties")
        for name in demanding.get("required", ()):
            if name not in known:
                if is_closed:
                    return True
                continue
            mine = demanding.get("properties", {}).get(name, True)
            if self.are_exclusive(mine, known[name], depth - 1):
                return True
        return False


def _kinds(schema: dict[str, Any]) -> frozenset[str]:
    kinds = _ALL
    if "type" in schema:
        names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        kinds &= {kind for name in names for kind in _KINDS.get(name, (name,))}
    values = _values(schema)
    return kinds if values is None else kinds & {_kind(value) for value in values}


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return _INTEGER
    if isinstance(value, float):
        return _INTEGER if value.is_integer() else _FRACTION
    if value is None:
        return "null"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def _values(schema: dict[str, Any]) -> list[Any] | None:
    """The only values that `const` and `enum` leave, None if there are others."""
    if "const" in schema:
        return [schema["const"]]
    values: list[Any] | None = schema.get("enum")
    return values


def _have_no_value(schemas: list[dict[str, Any]]) -> bool:
    sets = [{_key(value) for value in values} for s in schemas if (values := _values(s)) is not None]
    return bool(sets) and not set.intersection(*sets)


def _key(value: object) -> str:
    """Equal for equal JSON values: 1 and 1.0 are equal, 1 and true are not."""
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value


def _have_no_number(schemas: list[dict[str, Any]]) -> bool:
    low = max((s[k] for s in schemas for k in ("minimum", "exclusiveMinimum") if k in s), default=None)
    high = min((s[k] for s in schemas for k in ("maximum", "exclusiveMaximum") if k in s), default=None)
    if low is None or high is None:
        return False
    is_open = any(low == s.get("exclusiveMinimum") or high == s.get("exclusiveMaximum") for s in schemas)
    return bool(low > high or (low == high and is_open))
