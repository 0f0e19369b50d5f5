"""How much work one place of a JSON schema may be to llguidance's parser, told before it is tried.

What may stand at a place are alternatives of schemas: those of `anyOf` and `oneOf` whose properties so far
had the same names lead on side by side. Each that is still open predicts each alternative of the schema under
the next name, and is looked for in all that the place has so far, so that n that lead to n are worked at for
the cube of n. Here all places that any value can reach are visited once each, and the worst is told.
"""

import itertools
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

from caravan.grammars.json_schema.json_pointer import resolve

# Schemas that hold together, by identity: usually one, with its references followed.
_Node = tuple[int, ...]
# The type of a value, and the schemas that hold for it together; all that is no object or array is one leaf.
_Leaf = tuple[str, tuple[dict[str, Any], ...]]

_OBJECT, _ARRAY, _SCALAR = "object", "array", "scalar"
_KINDS = (_OBJECT, _ARRAY, _SCALAR)
_PLAIN: _Leaf = (_SCALAR, ())
_ITEMS = ""
_ANY: dict[str, Any] = {}
_ATOM: dict[str, Any] = {"type": "scalar"}
# What a value that is given in full leaves open.
_FIXED: dict[str, Any] = {"additionalProperties": False, "items": False}
# Beyond these, a schema is as good as endless; an honest one of the largest size comes to some thousands.
_MAX_VISITS = 100_000
_MAX_LEAVES = 20_000


class _EndlessError(Exception):
    pass


def schema_breadth(root: object) -> float:
    """An upper bound for a schema, in comparisons; infinite if even finding it takes too long."""
    if not isinstance(root, dict):
        return 0
    try:
        return _Survey(root).worst()
    except (_EndlessError, RecursionError):
        return math.inf


class _Survey:
    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._by_id: dict[int, dict[str, Any]] = {id(_ANY): _ANY}
        self._leaves: dict[int, list[_Leaf]] = {}
        self._counts: dict[_Node, int] = {}
        self._open: set[int] = set()
        self._is_circular = False
        self._num_visits = 0

    def worst(self) -> float:
        start = frozenset([self._node(self._root)])
        seen, waiting, worst = {start}, [start], 0
        while waiting:
            for uses in self._next_places(waiting.pop()):
                alternatives = {node: self._count(node) for node in uses}
                num_tries = sum(uses[node] * count for node, count in alternatives.items())
                worst = max(worst, num_tries * (uses.total() + sum(alternatives.values())))
                place = frozenset(uses)
                if place not in seen:
                    seen.add(place)
                    waiting.append(place)
        return worst

    def _next_places(self, place: frozenset[_Node]) -> Iterator[Counter[_Node]]:
        """What may stand under each name and as an item, with the number of times that it is led to."""
        named: dict[str, Counter[_Node]] = {}
        unnamed: Counter[_Node] = Counter()
        for node in place:
            for kind, parts in self._leaves_of(node):
                self._visit(1)
                if kind == _OBJECT:
                    for name, inner in self._properties(parts):
                        named.setdefault(name, Counter())[inner] += 1
                    unnamed.update(self._unnamed(parts))
                elif kind == _ARRAY:
                    named.setdefault(_ITEMS, Counter()).update(self._items(parts))
        self._visit(len(named) * (1 + len(unnamed)))
        yield unnamed
        yield from (uses + unnamed for uses in named.values())

    def _properties(self, parts: tuple[dict[str, Any], ...]) -> Iterator[tuple[str, _Node]]:
        names = {name: None for part in parts for name in _dict(part, "properties")}
        self._visit(len(names) * len(parts))
        for name in names:
            schemas = [
                known[name] if name in (known := _dict(part, "properties")) else _rest(part) for part in parts
            ]
            if False not in schemas:
                yield name, self._node(*schemas)

    def _unnamed(self, parts: tuple[dict[str, Any], ...]) -> Iterator[_Node]:
        rests = [_rest(part) for part in parts]
        if False not in rests:
            yield self._node(*rests)
        for part in parts:
            yield from (self._node(inner) for inner in _dict(part, "patternProperties").values())

    def _items(self, parts: tuple[dict[str, Any], ...]) -> Iterator[_Node]:
        rests = [part.get("items", True) for part in parts]
        first = [schema for part in parts for schema in _list(part, "prefixItems")]
        self._visit(len(first))
        yield from (self._node(schema) for schema in first if schema is not False)
        if False not in rests:
            yield self._node(*rests)

    def _node(self, *schemas: object) -> _Node:
        """Schemas that hold together as one thing, which is the same wherever it is referred to."""
        found = []
        for schema in schemas:
            followed = self._followed(schema)
            if followed is not _ANY:
                self._by_id[id(followed)] = followed
                found.append(id(followed))
        return tuple(sorted(set(found))) or (id(_ANY),)

    def _followed(self, schema: object) -> dict[str, Any]:
        seen: set[int] = set()
        while isinstance(schema, dict) and schema.keys() == {"$ref"} and id(schema) not in seen:
            seen.add(id(schema))
            schema = self._target(schema)
        if schema is False:
            return _ATOM
        if not isinstance(schema, dict) or not schema:
            return _ANY
        is_atom = all(kind == _SCALAR for kind, _ in self._leaves_of_schema(schema))
        return _ATOM if is_atom else schema

    def _target(self, schema: dict[str, Any]) -> object:
        reference = schema["$ref"]
        try:
            return resolve(self._root, reference) if isinstance(reference, str) else True
        except LookupError:
            return True

    def _count(self, node: _Node) -> int:
        if node not in self._counts:
            self._counts[node] = len(self._leaves_of(node))
        return self._counts[node]

    def _leaves_of(self, node: _Node) -> list[_Leaf]:
        return self._together([self._leaves_of_schema(self._by_id[one]) for one in node])

    def _leaves_of_schema(self, schema: object) -> list[_Leaf]:
        if not isinstance(schema, dict):
            return [] if schema is False else _own(_ANY)
        key = id(schema)
        if key in self._leaves:
            return self._leaves[key]
        if key in self._open:
            # One that leads back to itself adds nothing by that, here; elsewhere it may.
            self._is_circular = True
            return []
        self._visit(1)
        self._open.add(key)
        found = self._together(list(self._parts(schema)))
        self._open.remove(key)
        self._is_circular = self._is_circular and bool(self._open)
        if not self._is_circular:
            self._leaves[key] = found
        return found

    def _parts(self, schema: dict[str, Any]) -> Iterator[list[_Leaf]]:
        yield _own(schema)
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                yield self._any_of(_list(schema, keyword))
        yield from (self._leaves_of_schema(inner) for inner in _list(schema, "allOf"))
        if "$ref" in schema:
            yield self._leaves_of_schema(self._target(schema))

    def _any_of(self, schemas: list[Any]) -> list[_Leaf]:
        found: list[_Leaf] = []
        has_plain = False
        for schema in schemas:
            for leaf in self._leaves_of_schema(schema):
                if leaf == _PLAIN and has_plain:
                    continue
                has_plain = has_plain or leaf == _PLAIN
                found.append(leaf)
            if len(found) > _MAX_LEAVES:
                raise _EndlessError
        return found

    def _together(self, parts: list[list[_Leaf]]) -> list[_Leaf]:
        """Each way to satisfy all of some schemas, given the ways to satisfy each."""
        if len(parts) == 1:
            return parts[0]
        found = []
        for kind in _KINDS:
            open_ = [[held for of, held in leaves if of == kind] for leaves in parts]
            if math.prod(map(len, open_)) > _MAX_LEAVES:
                raise _EndlessError
            for combined in itertools.product(*open_):
                self._visit(1)
                schemas = {id(schema): schema for held in combined for schema in held}
                found.append((kind, tuple(schemas.values())))
        return found

    def _visit(self, count: int) -> None:
        self._num_visits += count
        if self._num_visits > _MAX_VISITS:
            raise _EndlessError


def _own(schema: dict[str, Any]) -> list[_Leaf]:
    """What the keywords of a schema itself leave open."""
    if "const" in schema or "enum" in schema:
        values = [schema["const"]] if "const" in schema else _list(schema, "enum")
        kinds, held = [_kind_of(value) for value in values], _FIXED
    else:
        named = schema.get("type", list(_KINDS))
        kinds = [kind if kind in (_OBJECT, _ARRAY) else _SCALAR for kind in _as_list(named)]
        held = schema
    leaves: list[_Leaf] = [(kind, (held,)) for kind in kinds if kind != _SCALAR]
    return [*leaves, _PLAIN] if _SCALAR in kinds else leaves


def _as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _kind_of(value: object) -> str:
    return _OBJECT if isinstance(value, dict) else _ARRAY if isinstance(value, list) else _SCALAR


def _rest(schema: dict[str, Any]) -> object:
    return schema.get("additionalProperties", True)


def _dict(schema: dict[str, Any], keyword: str) -> dict[str, Any]:
    value = schema.get(keyword)
    return value if isinstance(value, dict) else {}


def _list(schema: dict[str, Any], keyword: str) -> list[Any]:
    value = schema.get(keyword)
    return value if isinstance(value, list) else []
