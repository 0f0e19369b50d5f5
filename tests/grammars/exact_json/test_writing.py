"""Grammars around large numbers: exactly the JSON that a schema allows, as a validator sees it."""

import json
from decimal import Decimal
from typing import Any

import jsonschema
import pytest
from caravan.grammars.compiler import GrammarCompiler, GrammarError
from caravan.grammars.exact_json.writing import expression
from llguidance import LLMatcher, LLTokenizer

BYTES = LLTokenizer("byte")
BIG = 2**60 + 1
ID = {"const": BIG}


def is_written(schema: dict[str, Any], text: str) -> bool:
    matcher = LLMatcher(BYTES, GrammarCompiler().from_schema(schema).grammar, log_level=0)
    return bool(matcher.consume_tokens(BYTES.tokenize_str(text)) and matcher.is_accepting())


CASES: list[tuple[dict[str, Any], list[str], list[str]]] = [
    ({"const": BIG}, [f"{BIG}"], [f"{BIG - 1}", f"{BIG + 1}", f'"{BIG}"']),
    ({"const": -BIG}, [f"-{BIG}"], [f"{BIG}"]),
    ({"const": 1e22}, ["1" + "0" * 22], ["9223372036854775807"]),
    ({"type": "integer", "const": 1e22}, ["1" + "0" * 22], ["9223372036854775807"]),
    ({"enum": [1, "a", BIG, None]}, ["1", '"a"', f"{BIG}", "null"], [f"{BIG - 1}", "2", '"b"']),
    ({"type": "string", "enum": ["a", BIG]}, ['"a"'], [f"{BIG}"]),
    ({"enum": [BIG, BIG + 2], "minimum": BIG + 1}, [f"{BIG + 2}"], [f"{BIG}"]),
    ({"type": "integer", "minimum": 0, "maximum": 2**63 - 1}, ["0", "7", f"{2**63 - 1}"], [f"{2**63}", "-1"]),
    (
        {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
        [f"-{2**63}", "-5", "0", f"{BIG}"],
        [f"-{2**63 + 1}", f"{2**63}", "0.5"],
    ),
    ({"type": "integer", "minimum": 0, "maximum": 2**64 - 1}, [f"{2**63}", f"{2**64 - 1}"], [f"{2**64}"]),
    ({"type": "integer", "exclusiveMinimum": BIG}, [f"{BIG + 1}", "9" * 40], [f"{BIG}", f"{BIG - 1}", "5"]),
    (
        {"type": "number", "minimum": 0.5, "exclusiveMaximum": BIG},
        ["0.5", "1.25", f"{BIG - 1}", f"{BIG - 1}.5"],
        ["0.4", f"{BIG}", f"{BIG}.1"],
    ),
    (
        {"type": "number", "maximum": 1.7976931348623157e308},
        ["5", "-1.5", "1" + "0" * 300],
        ["2" + "0" * 308],
    ),
    ({"maximum": BIG}, ["null", '"a"', "[]", "{}", f"{BIG}", "true"], [f"{BIG + 1}"]),
    ({"type": ["integer", "null"], "maximum": BIG}, ["null", "1"], [f"{BIG + 1}", '"a"']),
    (
        {
            "type": "object",
            "properties": {"id": ID, "n": {"type": "string"}, "x": {"type": "null"}},
            "required": ["id", "n"],
            "additionalProperties": False,
        },
        [
            f'{{"id": {BIG}, "n": "é"}}',
            f'{{\n  "id": {BIG},\n  "n": "",\n  "x": null\n}}',
            f'{{"id":{BIG},"n":"a"}}',
        ],
        [f'{{"id": {BIG - 1}, "n": ""}}', f'{{"id": {BIG}}}', f'{{"id": {BIG}, "n": "", "y": 1}}', "{}"],
    ),
    (
        {"type": "object", "properties": {"a/b": ID}},
        ["{}", f'{{"a/b": {BIG}}}', '{"c": [1]}', f'{{"a/b": {BIG}, "ab": 1, "c": {{}}}}'],
        ['{"a/b": 1}', '{"a\\u002fb": 1}', f'{{"a/b": {BIG}, "a/b": 1}}'],
    ),
    (
        {"type": "object", "additionalProperties": ID, "required": ["k"]},
        [f'{{"k": {BIG}}}', f'{{"k": {BIG}, "l": {BIG}}}'],
        ["{}", '{"k": 1}', f'{{"l": {BIG}}}'],
    ),
    (
        {"type": "array", "items": ID, "maxItems": 2},
        ["[]", f"[{BIG}]", f"[{BIG}, {BIG}]"],
        [f"[{BIG},{BIG},{BIG}]", "[1]"],
    ),
    (
        {"type": "array", "items": ID, "minItems": 2},
        [f"[{BIG},{BIG}]", f"[{BIG},{BIG},{BIG}]"],
        ["[]", f"[{BIG}]"],
    ),
    ({"type": "array", "items": ID, "maxItems": 0}, ["[]"], [f"[{BIG}]"]),
    (
        {"type": "array", "prefixItems": [ID, {"type": "null"}], "items": {"type": "boolean"}, "minItems": 1},
        [f"[{BIG}]", f"[{BIG}, null]", f"[{BIG}, null, true, false]"],
        ["[]", f"[{BIG}, true]", "[null]"],
    ),
    (
        {"anyOf": [ID, {"type": "null"}, {"type": "array", "items": ID}]},
        [f"{BIG}", "null", f"[{BIG}]"],
        ["1", "[1]"],
    ),
    (
        {"const": {"a": [BIG, {"b": "c"}], "d": 1}},
        [f'{{"a": [{BIG}, {{"b": "c"}}], "d": 1}}'],
        [f'{{"a": [{BIG}], "d": 1}}'],
    ),
    (
        {
            "$defs": {
                "node": {
                    "type": "object",
                    "properties": {"id": ID, "next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/node"}]}},
                    "required": ["id", "next"],
                    "additionalProperties": False,
                }
            },
            "$ref": "#/$defs/node",
        },
        [f'{{"id": {BIG}, "next": null}}', f'{{"id": {BIG}, "next": {{"id": {BIG}, "next": null}}}}'],
        [f'{{"id": {BIG}, "next": {{"id": 1, "next": null}}}}'],
    ),
    (
        {
            "$defs": {"id": ID, "name": {"type": "string"}},
            "type": "object",
            "properties": {"id": {"$ref": "#/$defs/id"}, "name": {"$ref": "#/$defs/name"}},
            "additionalProperties": False,
        },
        [f'{{"id": {BIG}, "name": "x"}}', '{"name": "x"}'],
        ['{"name": 1}', '{"id": 1}'],
    ),
]


@pytest.mark.parametrize(("schema", "right", "wrong"), CASES, ids=lambda value: str(value)[:60])
def test_large_numbers_are_exact(schema: dict[str, Any], right: list[str], wrong: list[str]) -> None:
    validator = jsonschema.Draft202012Validator(schema)
    for text in right:
        validator.validate(json.loads(text, parse_float=Decimal))
        assert is_written(schema, text), text
    for text in wrong:
        assert not is_written(schema, text), text


@pytest.mark.parametrize(
    "schema",
    [
        {"allOf": [ID, {"type": "integer"}]},
        {"type": "object", "patternProperties": {"^a$": ID}},
        {"type": "object", "additionalProperties": ID, "minProperties": 1},
        {"type": "integer", "maximum": BIG, "multipleOf": 3},
        {"type": "integer", "minimum": BIG + 1, "maximum": BIG},
        {"const": BIG, "type": "string"},
    ],
)
def test_where_they_cannot_be_they_are_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(GrammarError):
        GrammarCompiler().from_schema(schema)


def test_other_schemas_are_left_to_llguidance() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 2**53}}}
    assert expression(schema).startswith("%json {")
