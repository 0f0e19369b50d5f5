"""Which schemas leave it open what the names in an object are."""

from typing import Any

from caravan.grammars.exact_json.large import parts

_IN_PLACE = ("$ref", "anyOf", "oneOf", "allOf")
_VALUES = ("const", "enum")


def has_free_names(schema: Any) -> bool:  # noqa: ANN401 (a schema: an object or a boolean)
    """Whether objects that a plain schema allows may have names anywhere that it does not list."""
    waiting = [schema]
    while waiting:
        found = waiting.pop()
        if found is False:
            continue
        if not isinstance(found, dict) or _is_free(found):
            return True
        waiting += [*parts(found), *found.get("$defs", {}).values()]
    return False


def _is_free(schema: dict[str, Any]) -> bool:
    if not schema.keys().isdisjoint(_VALUES):
        return False
    kinds = schema.get("type")
    if kinds is None:
        # What stands beside these speaks of objects only if it says so.
        return schema.keys().isdisjoint(_IN_PLACE) or "properties" in schema
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "array" in kinds and "items" not in schema:
        return True
    if "object" not in kinds:
        return False
    return schema.get("additionalProperties") is not False or "patternProperties" in schema
