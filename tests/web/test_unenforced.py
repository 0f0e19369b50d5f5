"""What of a tool's schema cannot be enforced is left out alone, and told by name in the answer's head."""

import logging
from collections.abc import Generator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import BaseModel, ConfigDict

from tests.fakes_web import ScriptedEngine
from tests.web.chat_models import HERMES, TIME, app_over
from tests.web.routes.test_chat import URL, body
from tests.web.test_tool_refusals import function

HEADER = "x-caravan-unenforced"
PLACE = "tools[1].function.parameters#"

STRING = {"type": "string"}


def with_b(**properties: object) -> dict[str, Any]:
    """A schema whose other demands must stay whatever becomes of these properties."""
    return {
        "type": "object",
        "properties": {**properties, "b": {"type": "integer", "maximum": 9}},
        "required": ["b"],
        "additionalProperties": False,
    }


LEFT_OUT: list[tuple[dict[str, Any], list[str], dict[str, Any]]] = [
    (
        with_b(a={"type": "integer", "format": "uint32"}),
        ["/properties/a/format"],
        with_b(a={"type": "integer"}),
    ),
    (with_b(a={**STRING, "pattern": "^(?=.*x)y"}), ["/properties/a/pattern"], with_b(a=STRING)),
    (
        with_b(a={**STRING, "pattern": r"(a)\1", "maxLength": 3}),
        ["/properties/a/pattern"],
        with_b(a={**STRING, "maxLength": 3}),
    ),
    (
        with_b(a={"type": "array", "uniqueItems": True}),
        ["/properties/a/uniqueItems"],
        with_b(a={"type": "array"}),
    ),
    (with_b(a={**STRING, "not": {"const": "x"}}), ["/properties/a/not"], with_b(a=STRING)),
    (with_b(a={"$ref": "https://example.org/a"}), ["/properties/a/$ref"], with_b(a={})),
    (with_b(a={**STRING, "minimun": 3}), ["/properties/a/minimun"], with_b(a=STRING)),
    (with_b(a={"type": "int"}), ["/properties/a/type"], with_b(a={})),
    (with_b(a=5), ["/properties/a"], with_b(a=True)),
    (with_b(a={**STRING, "required": True}), ["/properties/a/required"], with_b(a=STRING)),
    (
        {**with_b(a={"type": "integer", "minimum": 4, "maximum": 3}), "required": ["a", "b"]},
        ["/properties/a/minimum"],
        {**with_b(a={"type": "integer", "maximum": 3}), "required": ["a", "b"]},
    ),
    (
        with_b(a={"oneOf": [STRING, {"type": "string", "minLength": 2}]}),
        ["/properties/a/oneOf"],
        with_b(a={"anyOf": [STRING, {"type": "string", "minLength": 2}]}),
    ),
    (
        {**with_b(a=STRING), "if": {"required": ["a"]}, "then": {"required": ["c"]}},
        ["/if"],
        with_b(a=STRING),
    ),
    ({**with_b(a=STRING), "dependentRequired": {"a": ["c"]}}, ["/dependentRequired"], with_b(a=STRING)),
    ({**with_b(a=STRING), "minProperties": 2}, [], {**with_b(a=STRING), "minProperties": 2}),
    (
        with_b(a={"allOf": [{"const": 2**60 + 1}, {"type": ["integer", "string"]}]}),
        ["/properties/a/allOf/0/const"],
        with_b(a={"type": ["integer", "string"]}),
    ),
    (
        with_b(**{f"p{n}": {**STRING, "pattern": f"(?!{n})"} for n in range(60)}),
        [f"/properties/p{n}/pattern" for n in range(60)],
        with_b(**{f"p{n}": STRING for n in range(60)}),
    ),
]


@pytest.mark.parametrize(("schema", "told", "left"), LEFT_OUT, ids=lambda value: str(value)[:70])
def test_one_keyword_is_left_out_and_the_rest_is_kept(
    schema: dict[str, Any], told: list[str], left: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    engine = ScriptedEngine(context_size=100_000)
    with app_over(engine) as client, caplog.at_level(logging.INFO):
        heads = [
            client.post(URL, json=body(tools=[TIME, function(schema=one)], tool_choice="required"))
            for one in (schema, left)
        ]
    assert [answer.status_code for answer in heads] == [200, 200], heads[0].text
    mine, plain = engine.requests
    assert mine.constraint == plain.constraint
    assert mine.token_ids != plain.token_ids or schema == left
    assert HEADER not in heads[1].headers
    for pointer in told[:5]:
        assert PLACE + pointer in heads[0].headers[HEADER].split(", ")
        assert PLACE + pointer in caplog.text
    assert len(heads[0].headers.get(HEADER, "")) < 1_100


NEUTRAL: list[dict[str, Any]] = [
    {"type": "array", "uniqueItems": False, "minItems": 0},
    {"$ref": "#/$defs/Box<number>"},
    {"$ref": "#/$defs/Box%3Cnumber%3E"},
    {**STRING, "description": "x", "examples": ["y"], "deprecated": True, "contentMediaType": "text/plain"},
    {"type": "array", "items": [STRING, {"type": "null"}], "additionalItems": False},
]


# What OpenAI's rules for strict schemas have otherwise.
FREE: list[dict[str, Any]] = [
    {"type": "object", "additionalProperties": STRING, "propertyNames": STRING},
    {"allOf": []},
    {"not": {}},
]


@pytest.mark.parametrize(
    ("inner", "strict"),
    [*((inner, False) for inner in [*NEUTRAL, *FREE]), *((inner, True) for inner in NEUTRAL)],
    ids=str,
)
def test_what_is_all_enforced_tells_nothing(inner: dict[str, Any], *, strict: bool) -> None:
    schema = {**with_b(a=inner), "$defs": {"Box<number>": {"type": "number"}}}
    if strict:
        schema["required"] = ["a", "b"]
    engine = ScriptedEngine(context_size=100_000)
    with app_over(engine) as client:
        tools = [TIME, function(schema=schema, strict=strict)]
        answer = client.post(URL, json=body(tools=tools, tool_choice="required"))
    assert answer.status_code == 200, answer.text
    assert HEADER not in answer.headers
    (request,) = engine.requests
    assert request.constraint is not None
    assert '"maximum": 9' in request.constraint.grammar


def test_a_strict_tool_is_refused_by_name(client: TestClient) -> None:
    for inner, pointer in (
        ({**STRING, "pattern": "(?=x)"}, "/properties/a/pattern"),
        ({"type": "array", "items": STRING, "uniqueItems": True}, "/properties/a/uniqueItems"),
    ):
        schema = {**with_b(a=inner), "required": ["a", "b"]}
        answer = client.post(URL, json=body(tools=[TIME, function(schema=schema, strict=True)]))
        assert answer.status_code == 400
        assert f"at {pointer}: " in answer.json()["error"]["message"]


def test_annotations_of_a_response_format_are_told(client: TestClient) -> None:
    schema = with_b(a={"type": "integer", "format": "int64", "markdownDescription": "x"})
    named = {"name": "x", "schema": schema}
    asked = {"response_format": {"type": "json_schema", "json_schema": named}, "stream": True}
    answer = client.post(URL, json=body(**asked))
    place = "response_format.json_schema.schema#/properties/a"
    assert answer.headers[HEADER] == f"{place}/format, {place}/markdownDescription"


class Page(BaseModel):
    """As users of pydantic declare it."""

    model_config = ConfigDict(extra="forbid")

    tags: set[str]


def test_a_set_is_a_list_whose_uniqueness_is_told_as_not_enforced(client: TestClient) -> None:
    schema = Page.model_json_schema()
    assert schema["properties"]["tags"]["uniqueItems"]
    pointer = "#/properties/tags/uniqueItems"
    for fields, param in (
        ({"response_format": {"type": "json_object", "schema": schema}}, "response_format.schema"),
        ({"structured_outputs": {"json": schema}}, "structured_outputs.json"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}},
            "response_format.json_schema.schema",
        ),
    ):
        answer = client.post(URL, json=body(**fields, max_tokens=1))
        assert answer.status_code == 200, answer.text
        assert answer.headers[HEADER] == param + pointer
    form = {"type": "json_schema", "name": "x", "schema": schema}
    asked = {"model": "fake", "input": "Hi", "text": {"format": form}, "max_output_tokens": 1}
    answer = client.post("/v1/responses", json=asked)
    assert answer.status_code == 200, answer.text
    assert answer.headers[HEADER] == "text.format.schema" + pointer


def test_strict_schemas_may_not_ask_for_sets_as_with_openai(client: TestClient) -> None:
    named = {"name": "x", "schema": Page.model_json_schema(), "strict": True}
    answer = client.post(URL, json=body(response_format={"type": "json_schema", "json_schema": named}))
    assert answer.status_code == 400
    assert "at /properties/tags/uniqueItems: is not allowed" in answer.json()["error"]["message"]


XML = HERMES.replace("<tool_call>", "<tool_call><function=<parameter=")
ONE_BY_ONE: list[tuple[dict[str, Any], list[str]]] = [
    (with_b(a={**STRING, "pattern": "^[a-z]+$"}), []),
    (with_b(a={**STRING, "pattern": "x"}), []),
    (with_b(a={**STRING, "pattern": "^a|b$"}), ["/properties/a/pattern"]),
    (with_b(a={**STRING, "format": "date"}), ["/properties/a/format"]),
    (with_b(a={"anyOf": [{**STRING, "maxLength": 2}, {**STRING, "minLength": 9}]}), []),
    (with_b(a={"oneOf": [{"const": "a"}, {"const": "b"}]}), []),
    (with_b(a={"enum": ["a", "bb"], "maxLength": 1}), []),
    (with_b(a={"anyOf": [{**STRING, "format": "date"}, {"const": "x"}]}), ["/properties/a/anyOf/0/format"]),
    ({**with_b(a=STRING), "minProperties": 2}, ["/minProperties"]),
    ({**with_b(a={"not": {}}), "required": ["a", "b"]}, ["/required"]),
    ({**with_b(a=STRING), "anyOf": [{"required": ["a"]}, {"maxProperties": 1}]}, ["/anyOf"]),
    (with_b(a={"type": ["string", "null"], "pattern": "^a|b$", "format": "date"}), []),
    (with_b(a={"type": "array", "items": {**STRING, "format": "date"}}), []),
]


@pytest.mark.parametrize(("schema", "told"), ONE_BY_ONE, ids=lambda value: str(value)[:60])
def test_formats_that_write_arguments_one_by_one_tell_what_they_leave_out(
    schema: dict[str, Any], told: list[str]
) -> None:
    with app_over(ScriptedEngine(context_size=100_000), XML) as client:
        lax = client.post(URL, json=body(tools=[TIME, function(schema=schema)]))
        assert lax.status_code == 200, lax.text
        assert lax.headers.get(HEADER, "") == ", ".join(PLACE + pointer for pointer in told)
        required = {**schema, "required": list(schema["properties"])}
        strict = client.post(URL, json=body(tools=[TIME, function(schema=required, strict=True)]))
    if told in ([], ["/minProperties"]):
        assert strict.status_code == 200, strict.text
    else:
        assert strict.status_code == 400
        assert strict.json()["error"]["param"] == "tools[1].function.parameters"
        assert f"at {told[0]}: cannot be enforced" in strict.json()["error"]["message"]


def test_the_responses_api_has_its_own_names(client: TestClient) -> None:
    tool = {"type": "function", "name": "f", "parameters": with_b(a={**STRING, "pattern": "(?=x)"})}
    answer = client.post("/v1/responses", json={"model": "fake", "input": "Hi", "tools": [tool]})
    assert answer.status_code == 200, answer.text
    assert answer.headers[HEADER] == "tools[0].parameters#/properties/a/pattern"


@pytest.fixture
def client() -> Generator[TestClient, None, None]:
    with app_over(ScriptedEngine(context_size=100_000)) as client:
        yield client
