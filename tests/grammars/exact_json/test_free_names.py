"""Which schemas leave names open, so that one might come twice."""

from typing import Any

import pytest
from caravan.grammars.exact_json.free_names import has_free_names

CLOSED: dict[str, Any] = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    "schema",
    [
        True,
        {},
        {"type": "object"},
        {"type": ["null", "object"]},
        {"type": "array"},
        {"type": "array", "items": {"minimum": 3}},
        {**CLOSED, "patternProperties": {"^x": True}},
        {**CLOSED, "additionalProperties": {"type": "null"}},
        {**CLOSED, "properties": {"a": {}}},
        {"anyOf": [{"type": "null"}, {"type": "object"}]},
        {"$defs": {"d0": {"type": "object"}}, "$ref": "#/$defs/d0"},
        {"properties": {"a": {"type": "null"}}},
    ],
)
def test_open(schema: object) -> None:
    assert has_free_names(schema)


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"type": "string"},
        CLOSED,
        {"const": {"a": 1}},
        {"enum": [{}]},
        {"anyOf": [CLOSED, {"type": "integer"}]},
        {"type": "array", "items": CLOSED},
        {"$defs": {"d0": CLOSED}, "$ref": "#/$defs/d0"},
    ],
)
def test_closed(schema: object) -> None:
    assert not has_free_names(schema)
