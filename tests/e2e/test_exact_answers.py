"""Answers that say `stop` are what was asked for, number by number, as hot as it gets."""

import json
from collections.abc import Generator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from caravan.config.settings import Settings
from caravan.models import registry_of
from jsonschema.validators import extend, validator_for

from tests.live_server import live_server
from tests.waiting import PATIENCE

GENERATED = Path(__file__).parents[1] / "grammars" / "json_schema" / "data" / "generated_schemas.json"
BIG = 2**53 + 2
PATTERNED = {"type": "object", "additionalProperties": False}
EXACT: dict[str, dict[str, Any]] = {
    "constant": {"const": BIG},
    "listed": {"enum": [BIG, -BIG, 2**62, 1e22, "x"]},
    "inside": {"const": {"id": BIG, "of": [1.5, 2**60]}},
    "int64": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    "uint64": {"type": "integer", "minimum": 0, "maximum": 2**64 - 1},
    "narrow": {"type": "integer", "exclusiveMinimum": 2**53 - 5, "maximum": 2**53 - 1},
    "double": {"type": "number", "minimum": 2**52, "maximum": 2**61},
    "array": {"type": "array", "items": {"enum": [BIG, BIG + 2]}, "minItems": 2, "maxItems": 5},
    "union": {"anyOf": [{"type": "array", "items": {"const": BIG}, "maxItems": 3}, {"const": BIG + 2}]},
    "referred": {"$ref": "#/$defs/Box<id>", "$defs": {"Box<id>": {"type": "integer", "minimum": 2**50 + 1}}},
    "cents": {"type": "number", "multipleOf": 0.07, "minimum": 0, "maximum": 9},
    "two names": {"type": "object", "minProperties": 2, "maxProperties": 4},
    "one name": {**PATTERNED, "patternProperties": {"^a$": {"type": "integer", "maximum": 9, "minimum": 0}}},
    "colours": {"type": "object", "propertyNames": {"pattern": "^(red|green|blue)$"}, "minProperties": 1},
    "any object": {"type": "object"},
    "short names": {"type": "object", "propertyNames": {"maxLength": 2}},
}


def is_number(_checker: object, value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def is_integer(checker: object, value: Any) -> bool:  # noqa: ANN401
    return is_number(checker, value) and value % 1 == 0


def multiple_of(_: object, step: float, value: Any, __: object) -> Generator[Any, None, None]:  # noqa: ANN401
    if is_number(None, value) and (Fraction(value) / Fraction(str(step))).denominator != 1:
        yield jsonschema.ValidationError(f"{value} is no multiple of {step}")


def validate(schema: dict[str, Any], text: str) -> None:
    """By the draft that a schema names, with numbers as they are written."""
    found = validator_for(schema, jsonschema.Draft202012Validator)
    checker = found.TYPE_CHECKER.redefine_many({"number": is_number, "integer": is_integer})
    exact = extend(found, {"multipleOf": multiple_of}, type_checker=checker)
    exact(schema).validate(json.loads(text, parse_float=Decimal))


@pytest.fixture(scope="module")
def client() -> Generator[httpx.Client, None, None]:
    settings = Settings(context_size=4096, threads=1)
    with (
        live_server(registry_of(settings), settings) as address,
        httpx.Client(base_url=address, timeout=PATIENCE) as client,
    ):
        yield client


def finished(client: httpx.Client, schema: dict[str, Any], seed: int) -> list[str]:
    asked = {"model": "caravan-resident", "prompt": "JSON: ", "max_tokens": 300, "temperature": 1.5}
    answer = client.post("/v1/completions", json={**asked, "json_schema": schema, "seed": seed, "n": 3})
    if answer.status_code == 400:
        assert answer.json()["error"]["code"] == "invalid_constraint", answer.text
        return []
    assert answer.status_code == 200, answer.text
    return [choice["text"] for choice in answer.json()["choices"] if choice["finish_reason"] == "stop"]


@pytest.mark.parametrize("name", EXACT)
def test_answers_are_exact(client: httpx.Client, name: str) -> None:
    texts = [text for seed in range(4) for text in finished(client, EXACT[name], seed)]
    assert texts
    for text in texts:
        validate(EXACT[name], text)


def test_answers_to_generated_schemas_are_exact(client: httpx.Client) -> None:
    num_finished = 0
    for schema in json.loads(GENERATED.read_text(encoding="utf-8")).values():
        for text in finished(client, schema, 1):
            validate(schema, text)
            num_finished += 1
    assert num_finished > 30
