"""Tools that must cost their sender a clear refusal which names the place."""

from collections.abc import Generator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine
from tests.web.chat_models import HERMES, SQL, TIME, WEATHER, app_over
from tests.web.routes.test_chat import URL, body


@pytest.fixture(scope="module")
def client() -> Generator[TestClient, None, None]:
    with app_over(ScriptedEngine(context_size=1_000_000)) as client:
        yield client


def function(name: str = "f", schema: object = None, **fields: object) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": schema, **fields}}


def custom(syntax: str, definition: str) -> dict[str, Any]:
    grammar = {"syntax": syntax, "definition": definition}
    return {"type": "custom", "custom": {"name": "f", "format": {"type": "grammar", "grammar": grammar}}}


def choose(name: str, kind: str = "function") -> dict[str, Any]:
    return {"type": kind, kind: {"name": name}}


def allow(*names: str, mode: str = "auto") -> dict[str, Any]:
    tools = [choose(name) for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}


STRICT = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
REFUSED: list[tuple[str, dict[str, object], str]] = [
    ("a tool of no type", {"tools": [{}]}, "tools[0]"),
    ("a tool of another type", {"tools": [TIME, {"type": "wand"}]}, "tools[1]"),
    ("a group of tools", {"tools": [TIME, {"type": "namespace"}]}, "tools[1]"),
    ("no function", {"tools": [{"type": "function"}]}, "tools[0].function"),
    ("no name", {"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
    ("an empty name", {"tools": [function("")]}, "tools[0].function.name"),
    ("a name with a space", {"tools": [function("a b")]}, "tools[0].function.name"),
    ("a long name", {"tools": [function("a" * 65)]}, "tools[0].function.name"),
    ("a name twice", {"tools": [WEATHER, TIME, WEATHER]}, "tools[2].function.name"),
    ("a name twice, of two types", {"tools": [SQL, function("sql")]}, "tools[1].function.name"),
    ("129 tools", {"tools": [function(f"f{i}") for i in range(129)]}, "tools"),
    ("parameters of a wrong type", {"tools": [function(schema=[])]}, "tools[0].function.parameters"),
    (
        "parameters that are no object",
        {"tools": [function(schema={"type": "string"})]},
        "tools[0].function.parameters.type",
    ),
    ("an unknown field", {"tools": [function(stric=True)]}, "tools[0].function.stric"),
    ("strict, but open", {"tools": [function(schema=STRICT, strict=True)]}, "tools[0].function.parameters"),
    (
        "strict, and not enforceable",
        {"tools": [TIME, function(schema={**STRICT, "not": {}}, strict=True)]},
        "tools[1].function.parameters",
    ),
    (
        "strict, with a bad pattern",
        {
            "tools": [
                function(
                    schema={
                        "type": "object",
                        "properties": {"a": {"type": "string", "pattern": "("}},
                        "required": ["a"],
                        "additionalProperties": False,
                    },
                    strict=True,
                )
            ]
        },
        "tools[0].function.parameters",
    ),
    ("a bad grammar", {"tools": [custom("lark", "start: a")]}, "tools[0].custom.format.grammar.definition"),
    (
        "a grammar without a counterpart inside of JSON",
        {"tools": [custom("lark", "start: %json {}")]},
        "tools[0].custom.format.grammar.definition",
    ),
    ("a bad pattern", {"tools": [custom("regex", "(")]}, "tools[0].custom.format.grammar.definition"),
    ("another syntax", {"tools": [custom("peg", "a")]}, "tools[0].custom.format.grammar.syntax"),
    ("a choice of no tools", {"tool_choice": "required"}, "tool_choice"),
    ("a choice of its own", {"tools": [TIME], "tool_choice": "any"}, "tool_choice"),
    ("an unknown name", {"tools": [TIME], "tool_choice": choose("f")}, "tool_choice.function.name"),
    (
        "a name of another type",
        {"tools": [TIME], "tool_choice": choose("get_time", "custom")},
        "tool_choice.custom.name",
    ),
    (
        "an unknown name among allowed ones",
        {"tools": [TIME], "tool_choice": allow("get_time", "f")},
        "tool_choice.allowed_tools.tools[1].function.name",
    ),
    ("nothing allowed", {"tools": [TIME], "tool_choice": allow()}, "tool_choice.allowed_tools.tools"),
    (
        "a mode of its own",
        {"tools": [TIME], "tool_choice": allow("get_time", mode="none")},
        "tool_choice.allowed_tools.mode",
    ),
    ("both forms", {"tools": [TIME], "functions": [TIME["function"]]}, "functions"),
    ("a choice of functions", {"functions": [TIME["function"]], "tool_choice": "auto"}, "tool_choice"),
    ("a function of no functions", {"tools": [TIME], "function_call": {"name": "f"}}, "function_call"),
    (
        "an unknown function",
        {"functions": [TIME["function"]], "function_call": {"name": "f"}},
        "function_call.name",
    ),
    ("a function twice", {"functions": [TIME["function"]] * 2}, "functions[1].name"),
    ("a call of functions that is a list", {"function_call": []}, "function_call"),
    (
        "schemas of 300 kB",
        {"tools": [function(schema={"type": "object", "description": "x" * 300_000})]},
        "tools",
    ),
]


@pytest.mark.parametrize(
    ("fields", "param"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_a_refusal_names_the_place(client: TestClient, fields: dict[str, object], param: str) -> None:
    response = client.post(URL, json=body(**fields))
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["param"] == param
    assert f"'{param}'" in error["message"]
    assert len(error["message"]) < 300


def test_a_strict_refusal_has_the_pointer(client: TestClient) -> None:
    schema = {**STRICT, "properties": {"a": {"type": "string", "not": {"const": "b"}}}}
    error = client.post(URL, json=body(tools=[function(schema=schema, strict=True)])).json()["error"]
    assert "/properties/a/not" in error["message"]


def test_calls_without_a_marker_are_bound_from_the_first_byte() -> None:
    engine = ScriptedEngine(context_size=4096)
    bare = HERMES.replace("<tool_call>", "").replace("</tool_call>", "")
    strict = function(schema={**STRICT, "additionalProperties": False}, strict=True)
    with app_over(engine, bare) as client:
        for more in ({}, {"tool_choice": "required"}):
            assert client.post(URL, json=body(tools=[strict], **more)).status_code == 200
    auto, required = (request.constraint for request in engine.requests)
    assert auto is not None
    assert auto.begins is not None
    assert required is not None
    assert required.binds_at_once
