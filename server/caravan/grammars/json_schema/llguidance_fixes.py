"""Plain schemas as llguidance reads them right."""

from dataclasses import replace
from typing import Any

from caravan.grammars.json_schema.keywords import inner_bound, is_far, kept_step
from caravan.grammars.json_schema.normalize import PlainSchema, schemas_of
from caravan.grammars.json_schema.one_of import exclusive

_MAPS = ("$defs", "properties", "patternProperties")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "additionalProperties")
# Formats that begin with a day. llguidance knows how long months are, but not years.
_DATES = ("date", "date-time")
_YEAR = "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
_LEAP = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_DAY = f"^(?:{_YEAR}-(?:(?:0[13-9]|1[0-2])-|02-(?:[01]|2[0-8]))|{_LEAP}-02-29)"


def prepared(plain: PlainSchema) -> PlainSchema:
    """Write `anyOf` for `oneOf` where that is the same, steps as they are read, and days that there are.

    Bounds beyond 2^53 are a little narrower, those beyond 64 bits are left to the check of finished answers.
    """
    if not any(map(_is_concerned, schemas_of(plain.schema))):
        return plain
    writer = _Writer(exclusive(plain.schema), plain.places)
    return replace(plain, schema=writer.schema(plain.schema), places=writer.places)


def _is_concerned(schema: dict[str, Any]) -> bool:
    return (
        not {"oneOf", "multipleOf"}.isdisjoint(schema)
        or schema.get("format") in _DATES
        or any(is_far(keyword, value) for keyword, value in schema.items())
    )


class _Writer:
    def __init__(self, exclusive_ids: frozenset[int], places: dict[int, tuple[str, ...]]) -> None:
        self._exclusive_ids = exclusive_ids
        self._originals = places
        self.places: dict[int, tuple[str, ...]] = {}

    def schema(self, schema: Any) -> Any:  # noqa: ANN401 (a schema: an object or a boolean)
        if not isinstance(schema, dict):
            return schema
        found = {
            keyword: self._value(keyword, value)
            for keyword, value in schema.items()
            if not is_far(keyword, value) or inner_bound(value) is not None
        }
        if found.get("format") in _DATES:
            if "pattern" in found:
                found["allOf"] = [*found.get("allOf", ()), {"pattern": _DAY}]
            else:
                found["pattern"] = _DAY
        if id(schema) in self._exclusive_ids:
            options = found.pop("oneOf")
            if "anyOf" in found:
                found["allOf"] = [*found.get("allOf", ()), {"anyOf": options}]
            else:
                found["anyOf"] = options
        if id(schema) in self._originals:
            self.places[id(found)] = self._originals[id(schema)]
        return found

    def _value(self, keyword: str, value: Any) -> Any:  # noqa: ANN401 (what a keyword holds)
        if keyword in _MAPS:
            return {name: self.schema(inner) for name, inner in value.items()}
        if keyword in _LISTS:
            return [self.schema(inner) for inner in value]
        if keyword == "multipleOf":
            return kept_step(value)
        if is_far(keyword, value):
            return inner_bound(value)
        return self.schema(value) if keyword in _SINGLE else value
