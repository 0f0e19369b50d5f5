"""Plain schemas as llguidance reads them right."""

from dataclasses import replace
from typing import Any

from server.json_grammar.numbers import kept_step
from server.service.constraints.one_of import exclusive
from server.service.constraints.plain import PlainSchema, schemas_of

_MAPS = ("$defs", "properties", "patternProperties")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "additionalProperties")


def prepared(plain: PlainSchema) -> PlainSchema:
    """The same schema, with `anyOf` for `oneOf` where that is the same, and steps as they are read."""
    is_concerned = any("oneOf" in schema or "multipleOf" in schema for schema in schemas_of(plain.schema))
    if not is_concerned:
        return plain
    writer = _Writer(exclusive(plain.schema), plain.places)
    return replace(plain, schema=writer.schema(plain.schema), places=writer.places)


class _Writer:
    def __init__(self, exclusive_ids: frozenset[int], places: dict[int, tuple[str, ...]]) -> None:
        self._exclusive_ids = exclusive_ids
        self._originals = places
        self.places: dict[int, tuple[str, ...]] = {}

    def schema(self, schema: Any) -> Any:  # noqa: ANN401 (a schema: an object or a boolean)
        if not isinstance(schema, dict):
            return schema
        found = {keyword: self._value(keyword, value) for keyword, value in schema.items()}
        if "multipleOf" in found:
            found["multipleOf"] = kept_step(found["multipleOf"])
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
        return self.schema(value) if keyword in _SINGLE else value
