"""Which `oneOf` are served: those whose schemas provably exclude each other, and no other."""

import asyncio
from typing import Any

import pytest
from caravan.api.context import RequestContext
from caravan.api.structured.compiler import ConstraintCompiler
from caravan.errors import InvalidRequestError
from caravan.grammars.json_schema.normalize import plain, schemas_of
from caravan.grammars.json_schema.one_of import exclusive
from caravan_schemas.structured import ConstraintFields


def tagged(value: object, *, required: bool = True, **more: object) -> dict[str, Any]:
    properties = {"kind": {"const": value}, **more}
    return {"type": "object", "properties": properties, "required": ["kind"] if required else []}


def closed(*names: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: {"type": "string"} for name in names},
        "required": list(names),
        "additionalProperties": False,
    }


EXCLUSIVE: list[list[Any]] = [
    [{"type": "string"}, {"type": "integer"}, {"type": ["null", "boolean"]}],
    [{"type": "integer"}, {"const": 1.5}],
    [{"const": 1}, {"const": True}],
    [{"enum": ["a", "b"]}, {"enum": ["c", 1]}],
    [{"enum": [[1, {"a": 2}]]}, {"const": [1, {"a": 3}]}],
    [tagged("a"), tagged("b"), tagged("c", required=False)],
    [tagged("a", x={"type": "string"}), {**tagged("b"), "additionalProperties": False}],
    [closed("a"), closed("b")],
    [closed("a"), closed("a", "b")],
    [{"type": "integer", "maximum": 3}, {"type": "integer", "minimum": 4}],
    [{"type": "number", "maximum": 3}, {"type": "number", "exclusiveMinimum": 3}],
    [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}],
    [{"allOf": [{"type": "object"}, tagged("a")]}, tagged("b")],
    [tagged({"deep": 1}), tagged({"deep": 2})],
    [
        {"type": "object", "properties": {"in": tagged("a")}, "required": ["in"]},
        {"type": "object", "properties": {"in": tagged("b")}, "required": ["in"]},
    ],
    [False, {"type": "string"}],
]
OVERLAPPING: list[list[Any]] = [
    [{"type": "string"}, {"minLength": 2}],
    [{"type": "integer"}, {"type": "number"}],
    [{"const": 1}, {"const": 1.0}],
    [{"enum": ["a", "b"]}, {"enum": ["b"]}],
    [tagged("a", required=False), tagged("b", required=False)],
    [{k: v for k, v in tagged(x).items() if k != "type"} for x in "ab"],
    [closed("a"), {**closed("a"), "required": []}],
    [
        closed("a"),
        {**closed("b"), "additionalProperties": True},
        {**closed("c"), "additionalProperties": True},
    ],
    [closed("a"), {**closed("b"), "required": [], "patternProperties": {"^a": {"type": "string"}}}],
    [{"type": "integer", "maximum": 3}, {"type": "integer", "minimum": 3}],
    [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}],
    [True, {"type": "string"}],
]
DEFINITIONS = {"a": tagged("a"), "b": {"$ref": "#/$defs/c"}, "c": tagged("b")}


def all_exclusive(root: dict[str, Any]) -> bool:
    written = plain(root).schema
    return exclusive(written) == {id(schema) for schema in schemas_of(written) if "oneOf" in schema}


@pytest.mark.parametrize("schemas", EXCLUSIVE, ids=str)
def test_exclusive_schemas_are_served(schemas: list[Any]) -> None:
    root = {"type": "array", "items": {"oneOf": schemas}, "$defs": DEFINITIONS}
    assert all_exclusive(root)
    assert (
        asyncio.run(ConstraintCompiler().compile(ConstraintFields(json_schema=root), RequestContext()))
        is not None
    )


@pytest.mark.parametrize("schemas", OVERLAPPING, ids=str)
def test_what_may_overlap_is_refused_where_it_stands(schemas: list[Any]) -> None:
    root = {"type": "array", "items": {"oneOf": schemas}, "$defs": DEFINITIONS}
    assert not all_exclusive(root)
    with pytest.raises(InvalidRequestError, match="at /items/oneOf: "):
        asyncio.run(ConstraintCompiler().compile(ConstraintFields(json_schema=root), RequestContext()))


def test_proofs_are_bounded() -> None:
    loop = {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "required": ["a"]}
    assert not all_exclusive({"$defs": {"a": loop}, "oneOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}]})
    assert not all_exclusive({"oneOf": [{"const": number} for number in range(101)]})
