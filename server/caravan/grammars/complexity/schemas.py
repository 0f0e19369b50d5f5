"""How much work one place of a JSON schema may be to llguidance's parser, told before it is tried.

The alternatives of `anyOf` and `oneOf` whose properties so far had the same names lead on side by side. Each
that is still open predicts each alternative of the schema under the next name, and is looked for in all that
the place has so far, so that n that lead to n are worked at for the cube of n. Here all are taken for open at
once, and names for places: what is told is too much rather than too little.
"""

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from caravan.grammars.json_schema.json_pointer import resolve

_ITEMS = ""
_ATOM: dict[str, Any] = {"type": "null"}
# Beyond these, a schema is as good as endless; an honest one of the largest size comes to some thousands.
_MAX_VISITS = 100_000
_MAX_WAYS = 20_000


class _EndlessError(Exception):
    pass


class _Ways(NamedTuple):
    """Alternatives of a value that is an object, an array, or all else, which is one regular expression."""

    objects: int
    arrays: int
    scalars: int

    @property
    def size(self) -> int:
        return max(self.objects, self.arrays, 1)


def schema_breadth(root: object) -> float:
    """Return an upper bound for a schema, in comparisons; infinite if even finding it takes too long."""
    if not isinstance(root, dict):
        return 0
    try:
        return _Survey(root).worst()
    except (_EndlessError, RecursionError):
        return math.inf


class _Survey:
    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._known: dict[int, _Ways] = {}
        self._open: set[int] = set()
        self._is_circular = False
        self._num_visits = 0
        # How often each schema is led to, by names; and by patterns and as the rest, which may be any name.
        self._named: dict[str, Counter[int]] = {}
        self._unnamed: Counter[int] = Counter()
        self._schemas: dict[int, dict[str, Any]] = {id(root): root}

    def worst(self) -> float:
        waiting = [self._root]
        while waiting:
            num_known = len(self._schemas)
            self._look_inside(waiting.pop(), 1)
            waiting.extend(list(self._schemas.values())[num_known:])
        return max(map(self._work, [self._unnamed, *(uses + self._unnamed for uses in self._named.values())]))

    def _work(self, uses: Counter[int]) -> float:
        alternatives = {key: sum(self._ways(self._schemas[key])) for key in uses}
        num_tries = sum(uses[key] * count for key, count in alternatives.items())
        return num_tries * (uses.total() + sum(alternatives.values()))

    def _look_inside(self, schema: object, times: int) -> None:
        """Note what a schema leads to that holds in so many alternatives of a value."""
        if not isinstance(schema, dict) or id(schema) in self._open:
            return
        self._visit(times)
        parts = list(self._parts(schema))
        times *= math.prod(ways.size for ways, _ in parts)
        self._open.add(id(schema))
        for ways, members in parts:
            for member in members:
                self._look_inside(member, times // ways.size)
        self._open.remove(id(schema))
        if schema.keys().isdisjoint(("const", "enum")):
            for name, inner in _dict(schema, "properties").items():
                self._lead(self._named.setdefault(name, Counter()), inner, times)
            for inner in (*_dict(schema, "patternProperties").values(), schema.get("additionalProperties")):
                self._lead(self._unnamed, inner, times)
            for inner in (*_list(schema, "prefixItems"), schema.get("items")):
                self._lead(self._named.setdefault(_ITEMS, Counter()), inner, times)

    def _lead(self, uses: Counter[int], schema: object, times: int) -> None:
        seen: set[int] = set()
        while isinstance(schema, dict) and schema.keys() == {"$ref"} and id(schema) not in seen:
            seen.add(id(schema))
            schema = self._target(schema)
        if isinstance(schema, dict):
            ways = self._ways(schema)
            led = schema if ways.objects or ways.arrays else _ATOM
            self._schemas.setdefault(id(led), led)
            uses[id(led)] += times

    def _target(self, schema: dict[str, Any]) -> object:
        reference = schema["$ref"]
        try:
            return resolve(self._root, reference) if isinstance(reference, str) else True
        except LookupError:
            return True

    def _ways(self, schema: object) -> _Ways:
        if not isinstance(schema, dict):
            return _Ways(0, 0, 0) if schema is False else _Ways(1, 1, 1)
        key = id(schema)
        if key in self._known:
            return self._known[key]
        if key in self._open:
            # One that leads back to itself adds nothing by that, here; elsewhere it may.
            self._is_circular = True
            return _Ways(0, 0, 0)
        self._visit(1)
        self._open.add(key)
        found = _own(schema)
        for ways, _ in self._parts(schema):
            found = _Ways(*(a * b for a, b in zip(found, ways, strict=True)))
            self._visit(found.size)
        self._open.remove(key)
        self._is_circular = self._is_circular and bool(self._open)
        if not self._is_circular:
            self._known[key] = found
        return found

    def _parts(self, schema: dict[str, Any]) -> Iterator[tuple[_Ways, list[Any]]]:
        """What holds beside a schema's own keywords: of each list of schemas one."""
        alternatives = [_list(schema, keyword) for keyword in ("anyOf", "oneOf") if keyword in schema]
        referred = [self._target(schema)] if "$ref" in schema else []
        for members in (*alternatives, *([inner] for inner in (*_list(schema, "allOf"), *referred))):
            ways = [self._ways(member) for member in members]
            objects, arrays, scalars = (sum(way[place] for way in ways) for place in range(3))
            yield _Ways(objects, arrays, min(scalars, 1)), members

    def _visit(self, num_ways: int) -> None:
        self._num_visits += 1
        if self._num_visits > _MAX_VISITS or num_ways > _MAX_WAYS:
            raise _EndlessError


def _own(schema: dict[str, Any]) -> _Ways:
    """What the keywords of a schema itself leave open."""
    if "const" in schema or "enum" in schema:
        values = [schema["const"]] if "const" in schema else _list(schema, "enum")
        kinds = [type(value) for value in values]
        objects, arrays = kinds.count(dict), kinds.count(list)
        return _Ways(objects, arrays, min(len(kinds) - objects - arrays, 1))
    named = schema.get("type", ["object", "array", ""])
    named = named if isinstance(named, list) else [named]
    is_scalar = any(kind not in ("object", "array") for kind in named)
    return _Ways(int("object" in named), int("array" in named), int(is_scalar))


def _dict(schema: dict[str, Any], keyword: str) -> dict[str, Any]:
    value = schema.get(keyword)
    return value if isinstance(value, dict) else {}


def _list(schema: dict[str, Any], keyword: str) -> list[Any]:
    value = schema.get(keyword)
    return value if isinstance(value, list) else []
