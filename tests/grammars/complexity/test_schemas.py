"""How much work a place of a schema may be: what is counted, what is refused, and what is far from that."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from caravan.grammars.compiler import GrammarCompiler, GrammarError
from caravan.grammars.complexity.lark import MAX_BREADTH
from caravan.grammars.complexity.schemas import schema_breadth

from tests.e2e.hostile_constraints import crossing

HAND_WRITTEN: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "e2e" / "data" / "schemas.json").read_text(encoding="utf-8")
)
OBJECT = {"type": "object", "additionalProperties": False}


def names(count: int) -> list[str]:
    return [f"n{number}" for number in range(count)]


def closed(**properties: object) -> dict[str, Any]:
    return {**OBJECT, "properties": properties}


def any_of(*schemas: object) -> dict[str, Any]:
    return {"anyOf": list(schemas)}


TEXT = {"type": "string"}
TWO = any_of(closed(a=TEXT), closed(b=TEXT))
EITHER = any_of({"required": ["x"]}, {"required": ["y"]})
REF = {"$ref": "#/$defs/two"}
DEFS = {"$defs": {"two": TWO}}


@pytest.mark.parametrize(
    ("schema", "work"),
    [
        # One alternative that is led to once, beside itself.
        (closed(x=TEXT), 1 * 1 * (1 + 1)),
        (closed(x=TWO), 1 * 2 * (1 + 2)),
        # Texts are one regular expression, however many there are.
        (closed(x=any_of(TEXT, {"const": "a"}, {"enum": [1, 2]})), 1 * 1 * (1 + 1)),
        # Values under one name meet, those under different names do not.
        ({**any_of(*(closed(x=REF) for _ in range(3))), **DEFS}, 3 * 2 * (3 + 2)),
        ({**any_of(*(closed(**{name: REF}) for name in names(3))), **DEFS}, 1 * 2 * (1 + 2)),
        ({**any_of(*({"type": "array", "items": REF} for _ in range(3))), **DEFS}, 3 * 2 * (3 + 2)),
        # One that may have any name meets them all.
        ({**any_of(closed(x=REF), {"type": "object", "additionalProperties": REF}), **DEFS}, 2 * 2 * (2 + 2)),
        (
            {**any_of(closed(x=REF), {**OBJECT, "patternProperties": {"y": REF}}), **DEFS},
            2 * 2 * (2 + 2),
        ),
        # What holds beside alternatives holds in each of them.
        (
            {**closed(x=REF), **EITHER, **DEFS},
            2 * 2 * (2 + 2),
        ),
        ({**closed(x=REF), "allOf": [EITHER, EITHER], **DEFS}, 4 * 2 * (4 + 2)),
        # A circle adds nothing; what is inside of it is seen.
        ({**any_of(closed(x=REF), {"$ref": "#"}), **DEFS}, 1 * 2 * (1 + 2)),
        (True, 0),
    ],
)
def test_what_is_counted(schema: object, work: int) -> None:
    assert schema_breadth(schema) == work


@pytest.mark.parametrize("kind", range(3))
def test_many_that_lead_to_many_are_refused_before_they_are_tried(kind: int) -> None:
    few, many = crossing(names(200), names(200))[kind], crossing(names(1240), names(1240))[kind]
    assert schema_breadth(few) < MAX_BREADTH < schema_breadth(many)
    begun = time.thread_time()
    with pytest.raises(GrammarError, match="too many alternatives"):
        GrammarCompiler().from_schema(many)
    # Tried out, its masks take some seconds each.
    assert time.thread_time() - begun < 2


@pytest.mark.parametrize(
    "schema",
    [
        {"allOf": [any_of(*({"required": [name]} for name in names(200)))] * 3},
        {
            "$ref": "#/$defs/d0",
            "$defs": {
                f"d{level}": {"anyOf": [{"$ref": f"#/$defs/d{level + 1}", "title": str(i)} for i in range(9)]}
                for level in range(9)
            },
        },
        json.loads('{"allOf":[' * 400 + "{}" + "]}" * 400),
    ],
    ids=["products", "copies of copies", "deep"],
)
def test_what_takes_too_long_to_count_is_endless(schema: dict[str, Any]) -> None:
    begun = time.thread_time()
    assert schema_breadth(schema) == float("inf")
    assert time.thread_time() - begun < 5


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": 3, "anyOf": {}, "allOf": [1], "items": [], "enum": "a", "type": 3},
        {"$ref": "#/nowhere"},
        {"$ref": 3},
        {"anyOf": [{"$ref": "#/anyOf/0"}, False]},
    ],
)
def test_unsound_schemas_are_left_to_others(schema: dict[str, Any]) -> None:
    assert schema_breadth(schema) < 100


@pytest.mark.parametrize("schema", HAND_WRITTEN.values(), ids=HAND_WRITTEN)
def test_usual_schemas_are_far_from_the_limit(schema: dict[str, Any]) -> None:
    assert schema_breadth(schema) < MAX_BREADTH / 1_000_000


def test_large_honest_schemas_pass() -> None:
    parts = [closed(kind={"const": name}, left={"$ref": "#"}, right={"$ref": "#"}) for name in names(300)]
    assert schema_breadth(any_of(*parts)) < MAX_BREADTH / 10
    wide = {**OBJECT, "properties": dict.fromkeys(names(4000), TEXT)}
    assert schema_breadth(wide) < MAX_BREADTH / 1_000_000
    assert schema_breadth({"enum": [{"a": name} for name in names(9000)]}) < MAX_BREADTH / 10
