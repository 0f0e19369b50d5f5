"""An answer that breaks its constraint never says that it has ended well, whatever shape it comes in.

The scripted engine pays no heed to constraints; it writes what it is told to, and stops.
"""

import json
from collections.abc import Generator
from typing import Any

import pytest
from caravan.chat.rendering.prompt_template import CHATML
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine
from tests.web.chat_models import app_over
from tests.web.responding import say
from tests.web.routes.test_chat import body

BIG = 2**53 + 2


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(context_size=4096)


@pytest.fixture
def client(engine: ScriptedEngine) -> Generator[TestClient, None, None]:
    with app_over(engine) as client:
        yield client


def named(schema: dict[str, Any], *, strict: bool = False) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": strict}}


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {"n": schema}, "required": ["n"], "additionalProperties": False}


def finished(client: TestClient, path: str, fields: dict[str, Any]) -> tuple[bool, str | None]:
    """Whether an answer says that it has ended well, and the code of the error that it tells of."""
    answer = client.post(path, json=fields)
    if not fields["stream"]:
        if answer.status_code != 200:
            return False, answer.json()["error"]["code"]
        choices = answer.json().get("choices", [])
        return answer.json().get("status") == "completed" or choices[0]["finish_reason"] == "stop", None
    assert answer.status_code == 200
    events = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
    told = [json.loads(event) for event in events if event != "[DONE]"]
    reasons = {choice["finish_reason"] for event in told for choice in event.get("choices", ())}
    types = {event.get("type") for event in told}
    code = next((event["error"]["code"] for event in told if event.get("error")), None)
    ended_well = "stop" in reasons or "response.completed" in types
    assert ended_well == ("[DONE]" in events or "response.completed" in types)
    return ended_well, code or ("failed" if "response.failed" in types else None)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"const": BIG}, f"{BIG - 1}"),
    ({"enum": [BIG, 5]}, f"{BIG + 1}"),
    ({"type": "integer", "minimum": -BIG}, f"-{BIG + 1}"),
    ({"type": "integer", "exclusiveMaximum": BIG + 2}, f"{BIG + 2}"),
    ({"const": 0.1}, "0.10000000000000000001"),
    ({"type": "number", "maximum": 0.3}, "0.30000000000000000001"),
    ({"type": "number", "multipleOf": 0.1}, "0.35"),
    ({"type": "integer"}, "1.5"),
    ({"type": "object", "minProperties": 2}, '{"a": 1, "a": 2}'),
    ({"type": "object", "minProperties": 2}, '{"\\u0061": 1, "a": 2}'),
    ({"type": "string", "format": "date"}, '"2023-02-29"'),
    ({"type": "string", "format": "date-time"}, '"1900-02-29T00:00:00Z"'),
    ({"type": "string", "pattern": "^[a-z]+$"}, '"aB"'),
    ({"type": "string", "pattern": "^(a+)+$"}, f'"{"a" * 500}!"'),
    ({"type": "object", "patternProperties": {"^x": {"type": "null"}}}, '{"a": 1, "x1": 1}'),
    ({"type": "object", "patternProperties": {"^x": {}}, "additionalProperties": False}, '{"y": 1}'),
    ({"type": "object", "additionalProperties": {"type": "null"}}, '{"y": 1}'),
    ({"type": "object", "propertyNames": {"pattern": "^x"}}, '{"y": 1}'),
    ({"type": "object", "patternProperties": {"^x": {"items": {"pattern": "b"}}}}, '{"x": ["ab", "c"]}'),
]
RIGHT: list[tuple[dict[str, Any], str]] = [
    ({"type": "object"}, '{"a": 1, "a": 2}'),
    ({"const": BIG}, f"{BIG}"),
    ({"const": 1}, "1.0"),
    ({"type": "integer"}, "10e1"),
    ({"type": "integer"}, "9" * 5_000),
    ({"type": "number"}, "1e999999999999999999999999"),
    ({"type": "number", "multipleOf": 0.1}, "0.3"),
    ({"type": "number", "multipleOf": 0.1}, "1e400"),
    ({"const": -0.0}, "0"),
    ({"items": [{"type": "integer"}]}, '[1, "a"]'),
    ({"$ref": "#/definitions/Box<number>", "definitions": {"Box<number>": {"type": "number"}}}, "2"),
    ({"type": "integer", "format": "uint32", "minimum": 3, "exclusiveMinimum": True}, "4"),
    ({"type": "string", "pattern": "^[a-z]+$"}, '"ab"'),
    ({"type": "string", "format": "date"}, '"2024-02-29"'),
    ({"format": "date"}, "5"),
    ({"type": "string", "pattern": "b"}, '"abc"'),
    ({"type": "string", "pattern": "^(a+)+$"}, f'"{"a" * 500}"'),
    ({"type": "string", "pattern": "^.$"}, '"\\ud83e\\udd99"'),
    ({"type": "object", "patternProperties": {"^x": {"type": "null"}}}, '{"a": 1, "x1": null}'),
    ({"type": "object", "patternProperties": {"^x": {}}, "additionalProperties": False}, '{"x": 1}'),
    ({"type": "object", "patternProperties": {"^x": {"items": {"pattern": "b"}}}}, '{"x": ["ab", 1]}'),
    ({"type": "array", "items": {"type": "integer"}, "uniqueItems": True}, "[1, 1]"),
]


CASES = [*((*case, False) for case in WRONG), *((*case, True) for case in RIGHT)]


def suits_strict(schema: dict[str, Any]) -> bool:
    """Whether OpenAI's rules for strict schemas let it stand as it is."""
    return schema.get("type") != "object" and schema.keys().isdisjoint(("$ref", "uniqueItems"))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("schema", "text", "is_right", "strict"),
    [*((*case, False) for case in CASES), *((*case, True) for case in CASES if suits_strict(case[0]))],
    ids=lambda value: str(value)[:50],
)
def test_the_client_is_told(
    client: TestClient,
    engine: ScriptedEngine,
    schema: dict[str, Any],
    text: str,
    *,
    is_right: bool,
    strict: bool,
    stream: bool,
) -> None:
    if strict:
        schema, text = closed(schema), f'{{"n": {text}}}'
    say(engine, *([text[:4], text[4:]] if len(text) > 4 else [text]))
    asked = named(schema, strict=strict)
    told = finished(
        client, "/v1/chat/completions", body(response_format=asked, stream=stream, max_tokens=None)
    )
    assert told == ((True, None) if is_right else (False, "constraint_broken"))


@pytest.mark.parametrize("stream", [False, True])
def test_other_routes_tell_as_well(client: TestClient, engine: ScriptedEngine, *, stream: bool) -> None:
    say(engine, "[", "1]")
    fields = {"model": "fake", "prompt": "x", "json_schema": {"type": "null"}, "stream": stream}
    assert finished(client, "/v1/completions", fields) == (False, "constraint_broken")
    form = {"type": "json_schema", "name": "x", "schema": {"type": "null"}}
    asked = {"model": "fake", "input": "x", "text": {"format": form}, "stream": stream}
    expected = (False, "failed") if stream else (False, "constraint_broken")
    assert finished(client, "/v1/responses", asked) == expected


TEXTS: list[tuple[dict[str, Any], str, bool]] = [
    ({"regex": "[a-c]{2}"}, "ab", True),
    ({"regex": "[a-c]{2}"}, "abc", False),
    ({"regex": "a|bc"}, "abc", False),
    ({"regex": "(a+)+b"}, "a" * 400, False),
    ({"choice": ["yes", "no"]}, "no", True),
    ({"choice": ["yes", "no"]}, "no ", False),
    ({"grammar": 'start: "a" X\nX: /[0-9]+/'}, "a12", True),
    ({"grammar": 'start: "a" X\nX: /[0-9]+/'}, "a12a", False),
    ({"grammar": 'root ::= "a" [0-9]+ b\nb ::= "(" b ")" | "x"'}, "a1((x))", True),
    ({"grammar": 'root ::= "a" [0-9]+ b\nb ::= "(" b ")" | "x"'}, "a1((x)", False),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("outputs", "text", "is_right"), TEXTS, ids=lambda value: str(value)[:50])
def test_text_is_judged_as_well(
    client: TestClient,
    engine: ScriptedEngine,
    outputs: dict[str, Any],
    text: str,
    *,
    is_right: bool,
    stream: bool,
) -> None:
    say(engine, text[:1], text[1:])
    fields = {"model": "fake", "prompt": "x", "structured_outputs": outputs, "stream": stream}
    expected = (True, None) if is_right else (False, "constraint_broken")
    assert finished(client, "/v1/completions", {**fields, "max_tokens": 500}) == expected
    with app_over(engine, CHATML) as plain:
        asked = body(structured_outputs=outputs, stream=stream, max_tokens=None)
        assert finished(plain, "/v1/chat/completions", asked) == expected


def test_what_the_request_has_cut_short_is_not_judged(client: TestClient, engine: ScriptedEngine) -> None:
    say(engine, "[", "1", "]")
    fields = body(response_format=named({"type": "null"}), stream=False, max_tokens=2)
    answer = client.post("/v1/chat/completions", json=fields)
    assert answer.json()["choices"][0]["finish_reason"] == "length"


def test_the_log_does_not_show_the_answer(
    client: TestClient, engine: ScriptedEngine, caplog: pytest.LogCaptureFixture
) -> None:
    say(engine, '{"a": "a secret"}')
    asked = named({"type": "object", "properties": {"a": {"const": "none"}}}, strict=False)
    told = finished(
        client, "/v1/chat/completions", body(response_format=asked, stream=False, max_tokens=None)
    )
    assert told == (False, "constraint_broken")
    assert "breaks its constraint" in caplog.text
    assert "secret" not in caplog.text
