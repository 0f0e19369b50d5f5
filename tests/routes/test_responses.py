"""`/v1/responses` over a scripted model that thinks and calls tools: OpenAI's contract, and refusals."""

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from server.auth import keys
from server.errors import EngineFailedError
from server.settings import Settings
from tests.fakes_web import ScriptedEngine, loaded_model, registry_over
from tests.live_server import live_server, wait_until
from tests.responses_contract import checked_response, events_of, folded
from tests.routes.chat_models import app_over, hermes

URL = "/v1/responses"
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


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(context_size=4096)


@pytest.fixture
def client(engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch) -> Generator[TestClient, None, None]:
    monkeypatch.setenv("CARAVAN_RESPONSES_DB", "memory")
    with app_over(engine) as made:
        yield made


def say(engine: ScriptedEngine, *pieces: str) -> None:
    """Have the model say this."""
    engine.script = lambda _request, _index: pieces


def ask(client: TestClient, **fields: Any) -> dict[str, Any]:  # noqa: ANN401
    """The response to a request."""
    answer = client.post(URL, json={"model": "fake", "input": "Hi", **fields})
    assert answer.status_code == 200, answer.text
    data: dict[str, Any] = answer.json()
    checked_response(data)
    return data


def stream(client: TestClient, **fields: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    """The events of the answer to a request."""
    answer = client.post(URL, json={"model": "fake", "input": "Hi", "stream": True, **fields})
    assert answer.status_code == 200, answer.text
    return events_of(answer.text)


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


def test_json_schemas_are_given_back(client: TestClient) -> None:
    schema = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    text = {"format": {"type": "json_schema", "name": "x", "schema": schema, "strict": True}}
    assert ask(client, text=text)["text"] == {**text, "verbosity": "medium"}


def test_a_conversation_goes_on(client: TestClient, engine: ScriptedEngine) -> None:
    say(engine, "First.")
    first = ask(client, input="One?", instructions="Be brief.")
    second = ask(client, input="Two?", previous_response_id=first["id"])
    assert second["previous_response_id"] == first["id"]
    # The first response's instructions are gone, as with OpenAI.
    assert prompt(engine) == (
        "<|im_start|>user\nOne?<|im_end|>\n<|im_start|>assistant\nFirst.<|im_end|>\n"
        "<|im_start|>user\nTwo?<|im_end|>\n<|im_start|>assistant\n"
    )
    ask(client, input="Three?", previous_response_id=second["id"], instructions="Rhyme.")
    assert prompt(engine).startswith("<|im_start|>system\nRhyme.<|im_end|>\n<|im_start|>user\nOne?")
    assert prompt(engine).count("First.") == 2


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


def prompt(engine: ScriptedEngine) -> str:
    """The last prompt that the engine was given, by the tokens of the fake vocabulary."""
    words = {257: "<|im_start|>", 258: "<|im_end|>"}
    parts = [words[i].encode() if i in words else bytes([i]) for i in engine.requests[-1].token_ids]
    return b"".join(parts).decode()


def test_what_is_stored_can_be_asked_for_listed_and_deleted(client: TestClient) -> None:
    items = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        {"type": "message", "role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Who?"},
    ]
    response = ask(client, input=items)
    url = f"{URL}/{response['id']}"
    assert client.get(url).json() == response
    whole = client.get(f"{url}/input_items?order=asc").json()
    assert [item["role"] for item in whole["data"]] == ["developer", "user", "assistant", "user"]
    assert (whole["has_more"], whole["first_id"]) == (False, whole["data"][0]["id"])
    page = client.get(f"{url}/input_items", params={"limit": 2}).json()
    assert page["data"] == whole["data"][:1:-1]
    assert page["has_more"]
    rest = client.get(f"{url}/input_items", params={"after": page["last_id"]}).json()
    assert rest["data"] == whole["data"][1::-1]
    assert client.delete(url).json() == {"id": response["id"], "object": "response", "deleted": True}
    for method, path in (
        ("GET", url),
        ("GET", f"{url}/input_items"),
        ("DELETE", url),
        ("POST", f"{url}/cancel"),
    ):
        answer = client.request(method, path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "response_not_found")


def test_nothing_is_stored_that_shall_not_be(client: TestClient) -> None:
    response = ask(client, store=False)
    assert client.get(f"{URL}/{response['id']}").status_code == 404
    refused = client.post(URL, json={"model": "fake", "input": "x", "previous_response_id": response["id"]})
    assert refused.json()["error"] == {
        "message": f"Previous response with id '{response['id']}' not found.",
        "type": "invalid_request_error",
        "param": "previous_response_id",
        "code": "previous_response_not_found",
    }


def test_a_background_response_goes_on_alone(client: TestClient, engine: ScriptedEngine) -> None:
    say(engine, "one ", "two")
    engine.hold_after = 1
    queued = ask(client, background=True)
    assert (queued["status"], queued["output"]) == ("queued", [])
    url = f"{URL}/{queued['id']}"
    wait_until(lambda: client.get(url).json()["status"] == "in_progress")
    busy = client.post(URL, json={"model": "fake", "input": "x", "previous_response_id": queued["id"]})
    assert "still being made" in busy.json()["error"]["message"]
    engine.hold_after = None
    wait_until(lambda: client.get(url).json()["status"] == "completed")
    done = checked_response(client.get(url).json())
    assert done.output_text == "one two"
    assert client.post(f"{url}/cancel").json() == client.get(url).json()


def test_a_background_response_is_cancelled(client: TestClient, engine: ScriptedEngine) -> None:
    say(engine, "one ", "two")
    engine.hold_after = 1
    url = f"{URL}/{ask(client, background=True)['id']}"
    wait_until(lambda: bool(engine.running))
    cancelled = client.post(f"{url}/cancel").json()
    assert checked_response(cancelled).status == "cancelled"
    assert client.get(url).json() == cancelled
    assert len(engine.aborted) == 1
    foreground = ask(client, max_output_tokens=1)
    refused = client.post(f"{URL}/{foreground['id']}/cancel")
    assert (refused.status_code, "background" in refused.text) == (400, True)


def test_a_background_stream_can_be_read_again(client: TestClient, engine: ScriptedEngine) -> None:
    say(engine, "one ", "two")
    events = stream(client, background=True)
    assert [event["type"] for event in events[:3]] == [
        "response.created",
        "response.queued",
        "response.in_progress",
    ]
    url = f"{URL}/{events[0]['response']['id']}"
    assert events_of(client.get(url, params={"stream": "true"}).text) == events
    rest = client.get(url, params={"stream": "true", "starting_after": 4}).text
    assert rest.count("event: ") == len(events) - 5
    plain = ask(client)
    refused = client.get(f"{URL}/{plain['id']}", params={"stream": "true"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "stream")


def test_keys_see_their_own_responses_and_pay_for_what_goes_on_alone(
    engine: ScriptedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARAVAN_RESPONSES_DB", "memory")
    monkeypatch.setenv("CARAVAN_KEYS_FILE", str(tmp_path / "keys.json"))
    alice, bob = (
        {"Authorization": f"Bearer {keys.add(tmp_path / 'keys.json', name=name, concurrent_requests=1)}"}
        for name in ("alice", "bob")
    )
    body = {"model": "fake", "input": "Hi"}
    engine.hold_after = 1
    with app_over(engine) as client:
        made = client.post(URL, json={**body, "background": True}, headers=alice).json()
        url = f"{URL}/{made['id']}"
        assert client.post(URL, json=body, headers=alice).status_code == 429
        on_it = {**body, "previous_response_id": made["id"]}
        assert client.post(URL, json=on_it, headers=bob).json()["error"]["param"] == "previous_response_id"
        for method, path in (("GET", url), ("DELETE", url), ("POST", f"{url}/cancel")):
            assert client.request(method, path, headers=bob).status_code == 404
        assert client.get(url, headers=alice).json()["status"] == "in_progress"
        assert client.post(f"{url}/cancel", headers=alice).json()["status"] == "cancelled"
        engine.hold_after = None
        assert client.post(URL, json=body, headers=alice).status_code == 200


@pytest.mark.parametrize("background", [False, True])
def test_a_client_that_leaves_cancels_what_does_not_go_on_alone(
    live: str, engine: ScriptedEngine, *, background: bool
) -> None:
    engine.hold_after = 1
    body = {"model": "fake", "input": "Hi", "stream": True, "background": background}
    with httpx.stream("POST", live + URL, json=body) as answer:
        data = next(line for line in answer.iter_lines() if line.startswith("data: "))
        url = f"{live}{URL}/{json.loads(data.removeprefix('data: '))['response']['id']}"
        wait_until(lambda: bool(engine.running))
    if background:
        assert httpx.get(url).json()["status"] == "in_progress"
        engine.hold_after = None
    end = "completed" if background else "cancelled"
    wait_until(lambda: httpx.get(url).json()["status"] == end)
    checked_response(httpx.get(url).json())
    assert len(engine.aborted) == (not background)


def test_what_goes_on_alone_fails_when_the_server_ends(engine: ScriptedEngine, tmp_path: Path) -> None:
    settings = Settings(responses_db=tmp_path / "r.db", shutdown_seconds=0)
    engine.hold_after = 1
    with live_server(registry_over(loaded_model(engine)), settings) as address:
        body = {"model": "fake", "input": "Hi", "background": True}
        made = httpx.post(address + URL, json=body).json()
        wait_until(lambda: bool(engine.running))
    with live_server(registry_over(loaded_model(engine)), settings) as address:
        failed = httpx.get(f"{address}{URL}/{made['id']}").json()
    assert (failed["status"], failed["error"]["code"]) == ("failed", "server_error")
    checked_response(failed)


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
