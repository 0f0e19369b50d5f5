"""The grammar of a schema's JSON: llguidance's own, and around large numbers one that keeps them exact."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from caravan.grammars.exact_json.escapes import without_nul
from caravan.grammars.exact_json.large import large_number, large_places, parts
from caravan.grammars.exact_json.numbers import (
    admits,
    bounds,
    has_large,
    has_large_bounds,
    is_large,
    large_pattern,
    literal,
    without_large,
)
from caravan.grammars.exact_json.rules import Rules, literal_pattern, quoted
from caravan.grammars.json_schema.json_pointer import resolve

# Enough white space for any indented style, too little to babble in.
OPTIONS = {"whitespace_pattern": r"( |\n[ \t]{0,40})", "lenient": False, "coerce_one_of": False}

_SPACE = f"(?:{OPTIONS['whitespace_pattern']})?"
_OTHERS = ("null", "boolean", "string", "array", "object")
_NUMERIC = ("integer", "number")
_OF_NUMBERS = ("type", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_OF_OBJECTS = (
    "properties",
    "patternProperties",
    "required",
    "additionalProperties",
    "minProperties",
    "maxProperties",
)
_OF_ARRAYS = ("items", "prefixItems", "minItems", "maxItems")
_IN_PLACE = ("$ref", "anyOf", "oneOf", "allOf", "const", "enum")
# Names that a schema leaves open, without those of declared properties in other spellings.
_NAME = r'"(?:[^"\\\x00-\x1F\x7F]|\\["\\bfnrt])*"'


class RoundedError(Exception):
    """A schema has large numbers where no grammar keeps them exact."""

    def __init__(self, schema: Mapping[str, Any], keyword: str) -> None:
        super().__init__("has numbers beyond 2^53 where they cannot be kept exactly")
        self.schema = schema
        self.keyword = keyword


def expression(schema: dict[str, Any]) -> str:
    """The right side of a rule for JSON of a schema that the service has checked and written plainly.

    Raises RoundedError.
    """
    if not has_large(schema) or not (places := large_places(schema)):
        return _own(schema, schema)
    writer = _Writer(schema, places)
    return f"%lark {{\n{writer.finish(writer.value(schema))}\n}}"


def _own(schema: object, root: dict[str, Any]) -> str:
    """What llguidance makes of a schema that may refer to the definitions of another."""
    shown: Any = schema if isinstance(schema, dict) else {} if schema else {"enum": []}
    if "$defs" in root and "$defs" not in shown and '"$ref"' in json.dumps(shown):
        shown = {"$defs": root["$defs"], **shown}
    return f"%json {json.dumps({**without_nul(shown), 'x-guidance': OPTIONS})}"


class _Writer(Rules):
    def __init__(self, root: dict[str, Any], places: frozenset[int]) -> None:
        super().__init__()
        self._root = root
        self._places = places
        self._known: dict[int, str] = {}
        self._open, self._close = self.terminal(rf"\{{{_SPACE}"), self.terminal(rf"{_SPACE}\}}")
        self._begin, self._end = self.terminal(rf"\[{_SPACE}"), self.terminal(rf"{_SPACE}\]")
        self._colon, self._comma = (self.terminal(f"{_SPACE}{mark}{_SPACE}") for mark in ":,")

    def value(self, schema: Any) -> str:  # noqa: ANN401 (a schema: an object or a boolean)
        """The name of the rule for a schema's values."""
        key = id(schema)
        if key not in self._known:
            if not isinstance(schema, dict) or key not in self._places:
                return self.rule(_own(schema, self._root))
            # Known before it is written: it may lead back to itself.
            self._known[key] = name = self.rule("")
            place = len(self._rules) - 1
            self._rules[place] = f"{name}: {' | '.join(self._alternatives(schema))}"
        return self._known[key]

    def _alternatives(self, schema: dict[str, Any]) -> list[str]:
        in_place = [keyword for keyword in _IN_PLACE if keyword in schema]
        if not in_place:
            found = list(self._by_type(schema))
        elif len(in_place) > 1 or in_place[0] in ("oneOf", "allOf"):
            raise self._refusal(schema)
        elif in_place[0] in ("const", "enum"):
            found = list(self._listed(schema, in_place[0]))
        elif schema.keys() - {in_place[0], "$defs"}:
            raise self._refusal(schema)
        elif in_place[0] == "$ref":
            found = [self.value(resolve(self._root, schema["$ref"]))]
        else:
            found = [self.value(inner) for inner in schema["anyOf"] if inner is not False]
        if not found:
            raise self._refusal(schema)
        return found

    def _refusal(self, schema: dict[str, Any]) -> RoundedError:
        return RoundedError(*large_number(self._root, schema, self._places))

    def _listed(self, schema: dict[str, Any], keyword: str) -> Iterator[str]:
        """The values of `const` or `enum`, one by one where they have large numbers in them."""
        values = schema["enum"] if keyword == "enum" else [schema["const"]]
        kinds = _types(schema)
        plain = [value for value in values if not has_large(value)]
        if plain:
            others = {key: value for key, value in schema.items() if key not in _IN_PLACE}
            if has_large_bounds(others):
                raise RoundedError(schema, keyword)
            yield self.rule(_own({**others, "enum": plain}, self._root))
        for value in values:
            if is_large(value):
                if not {"integer", "number"}.isdisjoint(kinds) and admits(schema, value):
                    yield self.terminal(literal(value))
            elif has_large(value):
                if schema.keys() - {"type", keyword, "$defs"}:
                    raise RoundedError(schema, keyword)
                if ("object" if isinstance(value, dict) else "array") in kinds:
                    yield self._composed(value)

    def _composed(self, value: Any) -> str:  # noqa: ANN401 (any JSON value)
        """An array or an object that has large numbers in it, as it is."""
        if is_large(value):
            return self.terminal(literal(value))
        if not has_large(value):
            return self.rule(_own({"const": value}, self._root))
        if isinstance(value, list):
            inner = f" {self._comma} ".join(self._composed(item) for item in value)
            return self.rule(f"{self._begin} {inner} {self._end}")
        named = (f"{_name(name)} {self._colon} {self._composed(item)}" for name, item in value.items())
        return self.rule(f"{self._open} {f' {self._comma} '.join(named)} {self._close}")

    def _by_type(self, schema: dict[str, Any]) -> Iterator[str]:
        kinds = _types(schema)
        numeric = [kind for kind in _NUMERIC if kind in kinds]
        if numeric and has_large_bounds(schema):
            yield from self._numbers(schema, "number" if "number" in kinds else "integer")
            kinds = [kind for kind in kinds if kind not in _NUMERIC]
        for kind, keywords, write in (
            ("object", _OF_OBJECTS, self._object),
            ("array", _OF_ARRAYS, self._array),
        ):
            own = {key: value for key, value in schema.items() if key in keywords}
            if kind in kinds and not self._places.isdisjoint(map(id, parts(own))):
                yield write(schema)
                kinds = [other for other in kinds if other != kind]
        if kinds:
            left = {key: value for key, value in schema.items() if key not in _of_others(kinds)}
            yield self.rule(_own({**left, "type": kinds}, self._root))

    def _numbers(self, schema: dict[str, Any], kind: str) -> Iterator[str]:
        of_numbers = {key: value for key, value in schema.items() if key in _OF_NUMBERS}
        small = without_large(of_numbers)
        if small is not None:
            yield self.rule(_own({**small, "type": kind}, self._root))
        if "multipleOf" in schema:
            raise RoundedError(schema, "multipleOf")
        pattern = large_pattern(*bounds(schema), "" if kind == "integer" else r"(?:\.[0-9]+)?")
        if pattern:
            yield self.terminal(pattern)

    def _object(self, schema: dict[str, Any]) -> str:
        declared, rest = schema.get("properties", {}), schema.get("additionalProperties", True)
        required = dict.fromkeys(schema.get("required", ()))
        self._check_counts(schema, len(required), len(declared), is_closed=rest is False)
        items = []
        for name in [*declared, *(name for name in required if name not in declared)]:
            inner = declared.get(name, rest)
            if inner is not False:
                item = f"{_name(name)} {self._colon} {self.value(inner)}"
                items.append((self.rule(item), name in required))
            elif name in required:
                raise self._refusal(schema)
        if rest is not False:
            taken = "|".join(literal_pattern(json.dumps(name, ensure_ascii=False)) for name in declared)
            name = self.terminal(_NAME)
            if taken:
                self._rules.append(f"FREE{len(self._rules)}: {name} & ~/{taken}/")
                name = self._rules[-1].split(":")[0]
            item = self.rule(f"{name} {self._colon} {self.value(rest)}")
            items.append((self.rule(f"{item} ({self._comma} {item})*"), False))
        return self.rule(f"{self._open} {self.sequence(items, self._comma)} {self._close}")

    def _check_counts(
        self, schema: dict[str, Any], num_required: int, num_declared: int, *, is_closed: bool
    ) -> None:
        if "patternProperties" in schema:
            raise self._refusal(schema)
        if schema.get("minProperties", 0) > num_required:
            raise self._refusal(schema)
        if "maxProperties" in schema and not (is_closed and num_declared <= schema["maxProperties"]):
            raise self._refusal(schema)

    def _array(self, schema: dict[str, Any]) -> str:
        first, rest = schema.get("prefixItems", []), schema.get("items", True)
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        if most is not None:
            first = first[:most]
        items = [(self.value(inner), place < least) for place, inner in enumerate(first)]
        num_more = None if most is None else most - len(first)
        num_least = max(least - len(first), 0)
        if rest is not False and num_more != 0:
            item = self.value(rest)
            times = f"{{{max(num_least - 1, 0)},{'' if num_more is None else num_more - 1}}}"
            items.append((self.rule(f"{item} ({self._comma} {item}){times}"), num_least > 0))
        elif num_least:
            raise self._refusal(schema)
        # Each item of a tuple needs those before it.
        inner = ""
        for place, (item, is_required) in reversed(list(enumerate(items))):
            written = f"{self._comma if place else ''} {item} {inner}"
            inner = self.rule(written if is_required else f"({written})?")
        return self.rule(f"{self._begin} {inner} {self._end}")


def _types(schema: dict[str, Any]) -> list[str]:
    named = schema.get("type", [*_OTHERS, "number"])
    return list(named) if isinstance(named, list) else [named]


def _of_others(kinds: list[str]) -> set[str]:
    """Keywords about types that are not among these."""
    found = {"$defs"}
    found |= set() if "object" in kinds else set(_OF_OBJECTS)
    found |= set() if "array" in kinds else set(_OF_ARRAYS)
    return found | (set() if set(_NUMERIC) & set(kinds) else set(_OF_NUMBERS))


def _name(name: str) -> str:
    return quoted(json.dumps(name, ensure_ascii=False))
