"""Grammars of schemas: sets in patterns and what JSON has to escape, and numbers beyond 2^53."""

import json
from typing import Any

import pytest
from caravan.grammars.compiler import GrammarCompiler
from caravan.grammars.json_schema.llguidance_fixes import prepared
from caravan.grammars.json_schema.normalize import plain
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


# Up to here, every integer is a double.
SAFE = 2**53 - 1
LARGE: list[tuple[dict[str, Any], list[str], list[str]]] = [
    ({"const": 2**60}, [f"{2**60}"], [f"{2**60 - 1}", f"{2**60 + 1}", f'"{2**60}"']),
    ({"const": -(2**60)}, [f"-{2**60}"], [f"{2**60}"]),
    ({"const": 1e22}, ["1" + "0" * 22], ["9223372036854775807"]),
    ({"enum": [1, "a", 2**60]}, ["1", '"a"', f"{2**60}"], [f"{2**60 - 1}", "2"]),
    ({"type": "integer", "maximum": SAFE}, ["0", f"{SAFE}"], [f"{SAFE + 1}", f"{SAFE + 2}"]),
    ({"type": "integer", "minimum": -SAFE}, [f"-{SAFE}", "9" * 40], [f"-{SAFE + 1}"]),
    ({"type": "integer", "exclusiveMinimum": SAFE}, [f"{SAFE + 1}"], [f"{SAFE}", "5"]),
    ({"type": "integer", "exclusiveMaximum": SAFE}, [f"{SAFE - 1}", "-5"], [f"{SAFE}"]),
    ({"type": "number", "minimum": 0.5, "maximum": SAFE}, ["0.5", f"{SAFE - 1}.5"], ["0.4", f"{SAFE}.1"]),
    (
        {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
        [f"-{2**63 - 1024}", "-5", "0", f"{2**60 + 1}", f"{2**63 - 1024}"],
        [f"-{2**63 + 1}", f"{2**63}", "0.5"],
    ),
    ({"type": "integer", "minimum": 0, "maximum": 2**64 - 1}, ["0", f"{2**62}"], [f"{2**64}", "-1"]),
    ({"type": "integer", "exclusiveMaximum": 2**60 + 1}, [f"{2**60 - 256}"], [f"{2**60 + 1}"]),
    ({"type": "number", "maximum": 2**60}, ["0.5", f"{2**60 - 256}.9"], [f"{2**60}.1", f"{2**60 + 1}"]),
    ({"type": "number", "minimum": -3.4e38, "maximum": 3.4e38}, ["602e21", "-1.5"], ["x"]),
]


@pytest.mark.parametrize(("schema", "right", "wrong"), LARGE, ids=lambda value: str(value)[:60])
def test_large_numbers_are_exact(schema: dict[str, Any], right: list[str], wrong: list[str]) -> None:
    made = GrammarCompiler().from_schema(prepared(plain(schema)).schema)
    for text in right:
        assert accepts(made.grammar, text), text
    for text in wrong:
        assert not accepts(made.grammar, text), text
