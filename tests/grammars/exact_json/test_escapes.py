"""Sets of characters in patterns, and what JSON has to escape."""

import json

import pytest
from caravan.grammars.compiler import GrammarCompiler
from caravan.grammars.recognizer import accepts

# What a pattern says of each of these characters is known from Python, whose sets mean the same here.
CHARACTERS = ('"', "\\", "\n", "\t", "\x01", "\x1f", "x", "/", "é", "7", "[", "]", "^")


def admits(schema: dict[str, object], value: object) -> bool | None:
    made = GrammarCompiler().from_schema(schema)
    return accepts(made.grammar, json.dumps(value, ensure_ascii=False))


@pytest.mark.parametrize(
    ("pattern", "excluded"),
    [
        (r'^[^"\\]$', '"\\'),
        (r'^[^"]$', '"'),
        (r"^[^\\]$", "\\"),
        (r'^[^\w"]$', '"x7'),
        (r"^[\x00-\x1f]$", '"\\x/é7[]^'),
        (r"^[\x00-\x1fx]$", '"\\/é7[]^'),
        (r"^[\s\x00-\x1f]$", '"\\x/é7[]^'),
        (r'^(?:[^"\\]|7)$', '"\\'),
        (r'^[^]"]$', ']"'),
        (r"^[^\]\\^]$", "]\\^"),
        (r"^\P{P}$", '"\\/[]'),
        (r"^\p{Cc}$", '"\\x/é7[]^'),
        (r"^.$", "\n"),
        (r"^\D$", "7"),
        (r"^\[$", '"\\\n\t\x01\x1fx/é7]^'),
    ],
)
def test_a_set_admits_what_it_holds_and_nothing_else(pattern: str, excluded: str) -> None:
    admitted = {char for char in CHARACTERS if admits({"type": "string", "pattern": pattern}, char)}
    assert admitted == set(CHARACTERS) - set(excluded)


@pytest.mark.parametrize("pattern", [r'^[^"\\]{2,5}$', r'^[^"\\]+$'])
def test_sets_that_repeat(pattern: str) -> None:
    schema: dict[str, object] = {"type": "string", "pattern": pattern}
    assert admits(schema, "it's")
    assert not admits(schema, 'a"b')
    assert not admits(schema, "a\\b")


def test_names_and_inner_schemas_too() -> None:
    schema: dict[str, object] = {
        "type": "object",
        "properties": {"pattern": {"type": "array", "items": {"type": "string", "pattern": r'^[^"]*$'}}},
        "patternProperties": {r'^[^"p]+$': {"type": "integer"}},
        "additionalProperties": False,
    }
    assert admits(schema, {"pattern": ["a", "b"]})
    assert not admits(schema, {"pattern": ['"']})
    assert admits(schema, {"a": 1})
    assert not admits(schema, {'a"': 1})


def test_values_that_look_like_schemas_stay() -> None:
    value = {"pattern": '[^"]', "patternProperties": {'[^"]': 1}}
    assert admits({"const": value}, value)
    assert admits({"enum": [value]}, value)


@pytest.mark.parametrize("pattern", [r"^[[:alpha:]]+$", r"^[a-c&&[^b]]+$"])
def test_sets_within_sets_mean_what_they_meant(pattern: str) -> None:
    assert admits({"type": "string", "pattern": pattern}, "ac")
    assert not admits({"type": "string", "pattern": pattern}, "1")
