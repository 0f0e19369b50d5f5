"""Objects that are put together from several schemas, as one, where nothing but properties is at stake."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from caravan.grammars.json_schema.dialects import Keywords, Part
from caravan.grammars.json_schema.keywords import CHECKS, is_annotation
from caravan.grammars.json_schema.references import Path, References

_MERGED = ("type", "properties", "required", "allOf", "$ref", "unevaluatedProperties")
_SIMPLE = ("type", "properties", "required")
_MAX_REFERENCES = 16


@dataclass(frozen=True)
class Elsewhere:
    """A schema that is referred to, by its path."""

    path: Path


def merged(found: Keywords, references: References) -> Keywords:
    """Join the keywords of a schema with those of simple objects that `allOf` and `$ref` add to it.

    Unchanged where there is more to it. `unevaluatedProperties` speaks of what none of them has declared.
    """
    if "unevaluatedProperties" not in found and ("allOf" not in found or found.get("type") != "object"):
        return found
    if not found.keys() <= set(_MERGED):
        return found
    properties = dict(found.get("properties", {}))
    required = dict.fromkeys(found.get("required", ()))
    members: list[Part | Elsewhere] = [*found.get("allOf", ()), *([found["$ref"]] if "$ref" in found else [])]
    is_object = found.get("type") == "object"
    for member in members:
        simple = _simple(member, references)
        if simple is None:
            return found
        is_object = is_object or simple.get("type") == "object"
        if not properties.keys().isdisjoint(simple.get("properties", ())):
            return found
        properties |= dict(_declared(member, simple))
        required |= dict.fromkeys(simple.get("required", ()))
    if not is_object:
        return found
    whole: Keywords = {"type": "object", "properties": properties, "required": list(required)}
    if "unevaluatedProperties" in found:
        whole["additionalProperties"] = found["unevaluatedProperties"]
    return whole


def _simple(member: Part | Elsewhere, references: References) -> dict[str, Any] | None:
    """What a member asks for, if that is no more than properties of an object."""
    schema = member.schema if isinstance(member, Part) else references.at(member.path)
    if not isinstance(schema, dict):
        return None
    asked = {key: value for key, value in schema.items() if not is_annotation(key)}
    if Part((), asked.get("additionalProperties", True)).is_open:
        asked.pop("additionalProperties", None)
    if not asked.keys() <= set(_SIMPLE) or asked.get("type", "object") != "object":
        return None
    return asked if all(CHECKS[key](value) is None for key, value in asked.items()) else None


def _declared(member: Part | Elsewhere, simple: dict[str, Any]) -> Iterator[tuple[str, Part | Elsewhere]]:
    """The properties of a member. Those that are referred to may lead back to where they are wanted."""
    for name, schema in simple.get("properties", {}).items():
        path: Path = (*member.path, "properties", name)
        yield name, Part(path, schema) if isinstance(member, Part) else Elsewhere(path)
