"""`/v1/responses` over a scripted model that thinks and calls tools: what it answers, to the letter."""

from typing import Any

import pytest
from caravan.errors import EngineFailedError
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine
from tests.responses_contract import folded
from tests.waiting import wait_until
from tests.web.chat_models import hermes
from tests.web.responding import URL, ask, prompt, say, stream

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the weather of a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
SQL = {"type": "custom", "name": "sql", "description": "Run SQL."}


def without_ids(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Items without what is new in each answer."""
    return [{k: v for k, v in item.items() if k not in ("id", "call_id")} for item in items]


CALL = hermes("get_weather", '{"city": "Paris"}')
QUERY = hermes("sql", '{"input": "SELECT 1;"}')


@pytest.mark.parametrize(
    ("pieces", "kinds"),
    [
        (("Hel", "lo", " there."), ["message"]),
        (("<think>\nHm", "m.\n</thi", "nk>\n\n", "Yes."), ["reasoning", "message"]),
        (("<think>\nHm.\n</think>\n\n", CALL[:30], CALL[30:]), ["reasoning", "function_call"]),
        (("I look.\n", CALL, "\n", CALL), ["message", "function_call", "function_call"]),
        ((QUERY[:50], QUERY[50:]), ["custom_tool_call"]),
        ((" ",), ["message"]),
    ],
    ids=["text", "thought", "thought and call", "text and calls", "custom", "nothing"],
)
def test_a_stream_adds_up_to_the_whole_response(
    client: TestClient, engine: ScriptedEngine, pieces: tuple[str, ...], kinds: list[str]
) -> None:
    say(engine, *pieces)
    whole = ask(client, tools=[WEATHER, SQL])
    events = stream(client, tools=[WEATHER, SQL])
    assert [item["type"] for item in whole["output"]] == kinds
    assert whole["status"] == "completed"
    last = events[-1]["response"]
    assert folded(events) == last["output"]
    assert without_ids(last["output"]) == without_ids(whole["output"])
    changing = ("id", "created_at", "completed_at", "output")
    assert {k: v for k, v in last.items() if k not in changing} == {
        k: v for k, v in whole.items() if k not in changing
    }


def test_events_come_in_openais_order(client: TestClient, engine: ScriptedEngine) -> None:
    say(engine, "<think>\nHm.\n</think>\n\n", "I look.\n", CALL)
    kinds = [event["type"].removeprefix("response.") for event in stream(client, tools=[WEATHER])]
    assert list(dict.fromkeys(kinds[:2])) == ["created", "in_progress"]
    assert [kind for kind in kinds if not kind.endswith(".delta")] == [
        "created",
        "in_progress",
        *("output_item.added", "content_part.added"),
        *("reasoning_text.done", "content_part.done", "output_item.done"),
        *("output_item.added", "content_part.added"),
        *("output_text.done", "content_part.done", "output_item.done"),
        "output_item.added",
        *("function_call_arguments.done", "output_item.done"),
        "completed",
    ]


def test_calls_say_what_was_called(client: TestClient, engine: ScriptedEngine) -> None:
    say(engine, CALL, "\n", QUERY)
    call, query = ask(client, tools=[WEATHER, SQL])["output"]
    assert (call["name"], call["arguments"]) == ("get_weather", '{"city": "Paris"}')
    assert (query["name"], query["input"]) == ("sql", "SELECT 1;")
    assert call["id"].startswith("fc_")
    assert call["call_id"] != query["call_id"]


def test_a_limit_makes_it_incomplete(client: TestClient, engine: ScriptedEngine) -> None:
    say(engine, "one ", "two ", "three ")
    whole = ask(client, max_output_tokens=2)
    assert (whole["status"], whole["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert (whole["output"][0]["status"], whole["completed_at"]) == ("incomplete", None)
    assert whole["output"][0]["content"][0]["text"] == "one two "
    events = stream(client, max_output_tokens=2)
    assert events[-1]["type"] == "response.incomplete"
    assert folded(events) == events[-1]["response"]["output"]


def test_what_the_request_said_is_given_back(client: TestClient) -> None:
    fields = {
        "instructions": "Be brief.",
        "metadata": {"a": "b"},
        "max_output_tokens": 20,
        "max_tool_calls": 3,
        "temperature": 0.5,
        "top_p": 0.25,
        "tools": [{**WEATHER, "strict": True}, {**SQL, "format": {"type": "text"}}],
        "tool_choice": {
            "type": "allowed_tools",
            "mode": "auto",
            "tools": [{"type": "custom", "name": "sql"}],
        },
        "parallel_tool_calls": False,
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
        "safety_identifier": "s",
        "user": "u",
        "reasoning": {"effort": "low", "summary": "auto"},
        "truncation": "disabled",
    }
    response = ask(client, **fields)
    assert {name: response[name] for name in fields} == fields
    assert response["service_tier"] == "default"


def test_json_schemas_are_given_back(client: TestClient, engine: ScriptedEngine) -> None:
    say(engine, "{}")
    schema = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    asked = {"type": "json_schema", "name": "x", "schema": schema}
    for said in ({}, {"strict": True, "description": "An x."}):
        shown = {"description": None, "strict": False, **asked, **said}
        assert ask(client, text={"format": {**asked, **said}})["text"]["format"] == shown


def test_a_call_is_answered(client: TestClient, engine: ScriptedEngine) -> None:
    say(engine, "<think>\nHm.\n</think>\n\n", CALL)
    first = ask(client, input="Weather?", tools=[WEATHER])
    call = first["output"][1]
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "Rain"}
    say(engine, "It rains.")
    asked = {"role": "user", "content": "Weather?"}
    ask(client, input=[asked, *first["output"], output])
    sent_again = prompt(engine)
    assert "<think>Hm.</think>" in sent_again
    ask(client, input=[output], previous_response_id=first["id"])
    assert prompt(engine) == sent_again
    reference = {"type": "item_reference", "id": call["id"]}
    ask(client, input=[asked, {"id": first["output"][0]["id"]}, reference, output])
    assert prompt(engine) == sent_again


def test_parts_of_a_turn_become_one_message(client: TestClient, engine: ScriptedEngine) -> None:
    thought = {
        "type": "reasoning",
        "id": "r",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": "Hm."}],
    }
    call = {"type": "function_call", "name": "get_weather", "arguments": "{}"}
    result = {"type": "function_call_output", "output": [{"type": "input_text", "text": "Rain"}]}
    items = [
        {"role": "system", "content": "Rhyme."},
        {"role": "user", "content": "Weather?"},
        thought,
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
        {**call, "call_id": "a"},
        {**call, "call_id": "b"},
        {**call, "call_id": "c", "status": "incomplete"},
        {**result, "call_id": "b", "output": "Sun"},
        {**result, "call_id": "a"},
    ]
    ask(client, input=items, instructions="Be brief.")
    shown = '<tool_call>{"name": "get_weather", "arguments": {}}</tool_call>'
    assert prompt(engine) == (
        "<|im_start|>system\nBe brief.\n\nRhyme.<|im_end|>\n<|im_start|>user\nWeather?<|im_end|>\n"
        f"<|im_start|>assistant\n<think>Hm.</think>I look.{shown}{shown}<|im_end|>\n"
        "<|im_start|>tool\nRain<|im_end|>\n<|im_start|>tool\nSun<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_failure_is_a_status_or_a_failed_response(client: TestClient, engine: ScriptedEngine) -> None:
    say(engine, "one ", "two")
    engine.failure = EngineFailedError("The engine is gone.")
    for fields in ({}, {"stream": True}):
        answer = client.post(URL, json={"model": "fake", "input": "Hi", **fields})
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "engine_error")
    engine.fail_after = 1
    events = stream(client)
    assert events[-1]["type"] == "response.failed"
    failed = events[-1]["response"]
    assert failed["error"] == {"code": "server_error", "message": "The engine is gone."}
    assert failed["output"][0]["content"][0]["text"] == "one"
    assert client.get(f"{URL}/{failed['id']}").json() == failed
    queued = ask(client, background=True)
    url = f"{URL}/{queued['id']}"
    wait_until(lambda: client.get(url).json()["status"] == "failed")
