"""What the grammar of calls lets a model write is read as arguments in which the verdict finds no fault.

Schemas are those in which the ways part: texts that are written without quotes beside those that have them.
"""

from typing import Any

import pytest
from caravan.api.prompt.tools import tool_request
from caravan.api.structured.tool_calls import BoundCalls, Calls
from caravan.chat.families import ModelFamily
from caravan.chat.tool_formats.registry import FORMATS
from caravan.grammars.compiler import GrammarCompiler
from caravan_schemas.chat import ChatCompletionRequest

from tests.chat.test_tool_grammars import walked
from tests.chat.transcripts import joined

TEXT = {"type": "string"}
TEXTS: dict[str, Any] = {
    "patterns": {**TEXT, "pattern": "^[a-c]{2}$"},
    "found": {**TEXT, "pattern": "x", "maxLength": 2},
    "short": {"anyOf": [{**TEXT, "maxLength": 1}, {**TEXT, "enum": ["long"]}]},
    "nullable": {"type": ["string", "null"], "maxLength": 3},
    "both": {"allOf": [TEXT, {"minLength": 2}]},
    "narrow": {
        **TEXT,
        "maxLength": 2,
        "allOf": [{"minLength": 2}, {"pattern": "^a"}, {"anyOf": [{"pattern": "b$"}, {"enum": ["ac"]}]}],
    },
    "kind": {"oneOf": [{"const": "x"}, {"const": "yy"}]},
    "name": {"$ref": "#/$defs/name", "maxLength": 4},
    "left out": {**TEXT, "format": "ipv4"},
}
VALUES: dict[str, Any] = {
    "listed": {"enum": ["a", "bb", 3, None, {"x": 1}]},
    "things": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"t": {**TEXT, "maxLength": 3}, "u": TEXT},
            "required": ["t"],
        },
        "maxItems": 2,
    },
    "names": {"type": "array", "items": {"$ref": "#/$defs/name"}},
    "inner": {"$ref": "#/$defs/inner"},
    "sum": {"type": "number", "multipleOf": 0.5, "maximum": 9},
    "none": False,
}
DEFINITIONS: dict[str, Any] = {
    "name": {**TEXT, "minLength": 3},
    "inner": {
        "type": "object",
        "properties": {"inner": {"anyOf": [{"$ref": "#/$defs/inner"}, {"type": "null"}]}},
    },
}


def schema(properties: dict[str, Any]) -> dict[str, Any]:
    required = [name for name, inner in properties.items() if inner]
    return {"type": "object", "properties": properties, "required": required, "$defs": DEFINITIONS}


def bound(family: ModelFamily, parameters: dict[str, Any]) -> BoundCalls:
    function = {"name": "f", "parameters": parameters}
    fields = {
        "model": "m",
        "messages": [{"role": "user", "content": "x"}],
        "tools": [{"type": "function", "function": function}],
    }
    request = tool_request(ChatCompletionRequest.model_validate(fields))
    assert request is not None
    calls = Calls(
        param=request.param,
        model_id="m",
        tools=request.callable,
        is_parallel=False,
        write=lambda specs: family.tools.grammar(specs, parallel=False),
        unkept=family.tools.unkept,
    )
    return calls.constraint(GrammarCompiler())


@pytest.mark.parametrize("properties", [TEXTS, VALUES], ids=["texts", "values"])
@pytest.mark.parametrize("form", FORMATS)
def test_what_can_be_written_is_read_and_judged_alike(form: str, properties: dict[str, Any]) -> None:
    family = ModelFamily(None, FORMATS[form])
    made = bound(family, schema(properties))
    for seed in range(2):
        text = walked(made.constraint.grammar, seed, 120)
        parser = family.parser(made.specs, bound=True)
        answer = joined([*parser.feed(text), *parser.finish()])
        assert [name for name, _, _ in answer.calls] == ["f"], text
        assert made.checks["f"](answer.calls[0][2]) is None, text
