"""Numbers in schemas that cannot be kept exactly are refused at their place, in whatever field they come."""

import json
from collections.abc import Generator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine
from tests.web.chat_models import app_over
from tests.web.responding import say
from tests.web.routes.test_chat import URL, body

# Stands for the number in requests; JSON of Python would round it.
MARK = "qznumberqz"
INEXACT = ["1e400", "9007199254740993", "1" + "0" * 700]
EXACT = ["0.1", "1.50", "2.5e3", "-0.125", "1E2", "9007199254740991", "-9223372036854775808"]
PLACES: list[tuple[dict[str, Any], str]] = [
    ({"const": MARK}, "/const"),
    ({"enum": ["a", MARK]}, "/enum"),
    ({"const": {"a": [1, MARK]}}, "/const"),
    ({"type": "number", "minimum": MARK}, "/minimum"),
    ({"type": "number", "exclusiveMinimum": MARK}, "/exclusiveMinimum"),
    ({"items": {"anyOf": [{"type": "null"}, {"const": MARK}]}}, "/items/anyOf/1/const"),
]


@pytest.fixture(scope="module")
def client() -> Generator[TestClient, None, None]:
    engine = ScriptedEngine(context_size=100_000)
    say(engine, "null")
    with app_over(engine) as client:
        yield client


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {"n": schema}, "required": ["n"], "additionalProperties": False}


def posted(client: TestClient, url: str, request: dict[str, Any], number: str) -> tuple[int, dict[str, Any]]:
    """The status and the error of a request with a number as it is written."""
    text = json.dumps(request).replace(f'"{MARK}"', number)
    # A schema may be a string that holds JSON.
    text = text.replace(f'\\"{MARK}\\"', number)
    answer = client.post(url, content=text, headers={"Content-Type": "application/json"})
    return answer.status_code, answer.json().get("error") or {}


def named(schema: dict[str, Any], *, strict: bool = False) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": strict}}


@pytest.mark.parametrize("number", INEXACT, ids=lambda number: number[:25])
@pytest.mark.parametrize(("schema", "pointer"), PLACES, ids=lambda value: str(value)[:50])
def test_an_answer_cannot_be_held_to_them(
    client: TestClient, schema: dict[str, Any], pointer: str, number: str
) -> None:
    for fields, param in (
        ({"response_format": named(schema)}, "response_format.json_schema.schema"),
        ({"response_format": {"type": "json_object", "schema": schema}}, "response_format.schema"),
        ({"json_schema": schema}, "json_schema"),
        ({"structured_outputs": {"json": schema}}, "structured_outputs.json"),
        ({"guided_json": json.dumps(schema)}, "guided_json"),
    ):
        status, error = posted(client, URL, body(**fields), number)
        assert (status, error["param"], error["code"]) == (400, param, "invalid_constraint")
        assert f"at {pointer}: has more digits than can be kept exactly" in error["message"]
    asked = body(response_format=named(closed(schema), strict=True))
    status, error = posted(client, URL, asked, number)
    assert status == 400
    assert f"at /properties/n{pointer}: " in error["message"]
    form = {"type": "json_schema", "name": "x", "schema": schema}
    responses = {"model": "fake", "input": "Hi", "text": {"format": form}}
    status, error = posted(client, "/v1/responses", responses, number)
    assert (status, error["param"]) == (400, "text.format.schema")
    assert f"at {pointer}: " in error["message"]


@pytest.mark.parametrize("number", INEXACT, ids=lambda number: number[:25])
@pytest.mark.parametrize("strict", [False, True])
def test_a_strict_tool_is_refused_and_of_another_one_is_told(
    client: TestClient, number: str, *, strict: bool
) -> None:
    function = {"name": "f", "parameters": closed({"const": MARK}), "strict": strict}
    tools = [{"type": "function", "function": function}]
    text = json.dumps(body(tools=tools)).replace(f'"{MARK}"', number)
    answer = client.post(URL, content=text, headers={"Content-Type": "application/json"})
    place = "tools[0].function.parameters"
    if strict:
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == place
        assert "at /properties/n/const: has more digits" in answer.json()["error"]["message"]
    else:
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-caravan-unenforced"] == f"{place}#/properties/n/const"


@pytest.mark.parametrize("number", ["1e400", "1" + "0" * 700])
@pytest.mark.parametrize("keyword", ["multipleOf", "minLength", "maxItems", "minProperties"])
def test_counts_and_steps_have_limits_of_their_own(client: TestClient, keyword: str, number: str) -> None:
    status, error = posted(client, URL, body(json_schema={keyword: MARK}), number)
    assert (status, error["param"], error["code"]) == (400, "json_schema", "invalid_constraint")
    assert f"at /{keyword}: " in error["message"]


@pytest.mark.parametrize("number", EXACT)
def test_what_a_schema_can_say_exactly_is_no_fault(client: TestClient, number: str) -> None:
    asked = body(json_schema={"type": ["number", "null"], "minimum": MARK}, max_tokens=None)
    assert posted(client, URL, asked, number) == (200, {})
