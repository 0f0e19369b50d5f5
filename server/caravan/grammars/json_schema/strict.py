"""OpenAI's rules for strict schemas."""

from typing import Any

from caravan.grammars.json_schema.normalize import PlainSchema, SchemaError
from caravan.grammars.json_schema.references import Path

_DEPTH = 10
_PROPERTIES = 5_000
_VALUES = 1_000
_NOT_ALLOWED = ("allOf", "patternProperties")


def check_strict(plain: PlainSchema) -> None:
    """Refuse a sound schema that breaks the rules; raises SchemaError."""
    # The outermost comes first.
    root = next(iter(plain.originals.values()), {})
    if root.get("type") != "object":
        raise SchemaError("must be 'object' at the root of a strict schema", ("type",))
    num_properties = num_values = 0
    for path, schema in plain.originals.items():
        num_properties += len(schema.get("properties", ()))
        num_values += len(schema.get("enum", ()))
        if num_properties > _PROPERTIES or num_values > _VALUES:
            limits = f"{_PROPERTIES} properties and {_VALUES} enum values"
            raise SchemaError(f"has more than the {limits} that a strict schema may have")
        if path.count("properties") + path.count("items") > _DEPTH:
            raise SchemaError(f"is nested more than {_DEPTH} deep, too much for a strict schema", path)
        _check_object(path, schema)


def _check_object(path: Path, schema: dict[str, Any]) -> None:
    for keyword in _NOT_ALLOWED:
        if keyword in schema:
            raise SchemaError("is not allowed in a strict schema", (*path, keyword))
    if schema.get("uniqueItems") is True:
        raise SchemaError("is not allowed in a strict schema", (*path, "uniqueItems"))
    kinds = schema.get("type", ())
    if "object" not in (kinds if isinstance(kinds, list) else [kinds]) and "properties" not in schema:
        return
    if schema.get("additionalProperties") is not False:
        message = "must be false in every object of a strict schema"
        raise SchemaError(message, (*path, "additionalProperties"))
    missing = schema.get("properties", {}).keys() - set(schema.get("required", ()))
    if missing:
        first = next(name for name in schema["properties"] if name in missing)
        raise SchemaError(
            f"must name every property in a strict schema; '{first}' is missing", (*path, "required")
        )
