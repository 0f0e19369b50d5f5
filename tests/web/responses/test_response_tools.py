"""Tools of namespaces and tools that come as items, on `/v1/responses` over a scripted model."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine
from tests.responses_contract import folded
from tests.web.chat_models import hermes
from tests.web.responding import URL, ask, prompt, say, stream

READ: dict[str, Any] = {
    "type": "function",
    "name": "read",
    "description": "Read a file.",
    "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
}
PATCH = {"type": "custom", "name": "patch"}
FILES = {"type": "namespace", "name": "mcp__files__", "description": "Of the disk.", "tools": [READ, PATCH]}
CALL = hermes("mcp__files__read", '{"path": "a.txt"}')
QUERY = hermes("mcp__files__patch", '{"input": "+ b"}')
USER = {"role": "user", "content": "Hi"}


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(context_size=8192)


def added(*tools: dict[str, Any]) -> dict[str, Any]:
    """An item that brings tools."""
    return {"type": "additional_tools", "role": "developer", "tools": list(tools)}


def test_a_call_of_a_namespace_says_both_names_whole_and_streamed(
    client: TestClient, engine: ScriptedEngine
) -> None:
    say(engine, CALL, "\n", QUERY)
    whole = ask(client, tools=[FILES])
    call, query = whole["output"]
    assert (call["namespace"], call["name"], call["arguments"]) == (
        "mcp__files__",
        "read",
        '{"path": "a.txt"}',
    )
    assert (query["type"], query["namespace"], query["name"]) == ("custom_tool_call", "mcp__files__", "patch")
    assert whole["tools"][0]["tools"][0]["strict"] is False
    events = stream(client, tools=[FILES])
    assert [(item["namespace"], item["name"]) for item in folded(events)] == [
        ("mcp__files__", "read"),
        ("mcp__files__", "patch"),
    ]
    shown = prompt(engine)
    assert '"mcp__files__read"' in shown
    assert shown.count("Of the disk.") == 1


def test_a_call_of_a_namespace_is_taken_back_with_its_result(
    client: TestClient, engine: ScriptedEngine
) -> None:
    say(engine, CALL)
    first = ask(client, tools=[FILES], input=[USER])
    result = {"type": "function_call_output", "call_id": first["output"][0]["call_id"], "output": "hello"}
    say(engine, "It says hello.")
    ask(client, tools=[FILES], input=[USER, *first["output"], result])
    stateless = prompt(engine)
    assert '{"name": "mcp__files__read", "arguments": {"path": "a.txt"}}' in stateless
    ask(client, tools=[FILES], input=[result], previous_response_id=first["id"])
    assert prompt(engine) == stateless
    listed = client.get(f"{URL}/{first['id']}/input_items").json()["data"]
    assert [item["type"] for item in listed] == ["message"]


def test_a_tool_of_a_namespace_can_be_asked_for_by_name(client: TestClient, engine: ScriptedEngine) -> None:
    say(engine, CALL)
    for name in ("read", "mcp__files__read"):
        asked = {"type": "function", "name": name}
        (call,) = ask(client, tools=[FILES], tool_choice=asked)["output"]
        assert call["name"] == "read"
        allowed = {"type": "allowed_tools", "mode": "required", "tools": [asked]}
        (call,) = ask(client, tools=[FILES], tool_choice=allowed)["output"]
        assert call["name"] == "read"
    # With a tool of that name outside, the name is that tool's.
    say(engine, hermes("read", '{"path": "b.txt"}'))
    (call,) = ask(client, tools=[FILES, READ], tool_choice={"type": "function", "name": "read"})["output"]
    assert "namespace" not in call


def test_tools_that_come_as_items_are_offered_with_the_others(
    client: TestClient, engine: ScriptedEngine
) -> None:
    say(engine, hermes("read", '{"path": "a.txt"}'))
    changed = {**READ, "description": "Read another file."}
    first = ask(client, tools=[PATCH], input=[added(READ), USER, added(changed, {"type": "web_search"})])
    assert first["output"][0]["name"] == "read"
    assert '"patch"' in prompt(engine)
    assert "Read another file." in prompt(engine)
    assert prompt(engine).count('"name": "read"') == 1
    say(engine, hermes("mcp__files__read", '{"path": "a.txt"}'))
    result = {"type": "function_call_output", "call_id": first["output"][0]["call_id"], "output": "x"}
    second = ask(client, previous_response_id=first["id"], input=[result, added(FILES)])
    assert second["output"][0]["namespace"] == "mcp__files__"
    assert "Read another file." in prompt(engine)
    listed = client.get(f"{URL}/{second['id']}/input_items?order=asc").json()["data"]
    assert listed[1]["tools"][0]["tools"][1]["name"] == "patch"
    told = client.post(
        URL, json={"model": "fake", "input": [added(READ, {"type": "web_search", "external": True}), USER]}
    )
    assert told.headers["x-caravan-ignored"] == "input[].tools[].web_search"


def test_tools_that_come_later_are_told_there_and_do_not_cost_the_prefix(
    client: TestClient, engine: ScriptedEngine
) -> None:
    say(engine, hermes("read", '{"path": "a.txt"}'))
    first = ask(client, tools=[READ], input=[USER])
    begun = prompt(engine)
    result = {"type": "function_call_output", "call_id": first["output"][0]["call_id"], "output": "x"}
    write = {"type": "function", "name": "write", "description": "Write a file."}
    items = [USER, *first["output"], result, added(write, {**FILES, "tools": [READ]}, READ), USER]
    say(engine, hermes("mcp__files__read", '{"path": "a.txt"}'))
    (call,) = ask(client, tools=[READ], input=items)["output"]
    assert (call["namespace"], call["name"]) == ("mcp__files__", "read")
    shown = prompt(engine)
    assert shown.startswith(begun)
    told = shown.removeprefix(begun)
    assert told.index("x<|im_end|>") < told.index('{"description":"Write a file.","name":"write"}')
    assert '"name":"mcp__files__read"' in told
    assert '"name":"read"' not in told
    for choice in ({"type": "function", "name": "write"}, "required"):
        say(engine, hermes("write", "{}"))
        (call,) = ask(client, tools=[READ], input=items, tool_choice=choice)["output"]
        assert call["name"] == "write"


def test_tools_that_are_to_be_found_first_are_shown_and_that_is_told(client: TestClient) -> None:
    tools = [{**READ, "defer_loading": True}, {**FILES, "tools": [{**READ, "defer_loading": True}]}]
    answer = client.post(URL, json={"model": "fake", "input": "Hi", "tools": tools})
    assert answer.status_code == 200
    assert answer.headers["x-caravan-ignored"] == "tools[].defer_loading, tools[].tools[].defer_loading"


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ({"call_id": "c9"}, "Result of an earlier call:\n\n21 degrees"),
        ({"name": "weather"}, "Result of an earlier call of weather:\n\n21 degrees"),
        ({"name": "now", "namespace": "sky"}, "Result of an earlier call of sky__now:\n\n21 degrees"),
    ],
    ids=["an id", "a name", "a namespace"],
)
def test_a_result_whose_call_is_not_there_is_told_as_the_users(
    client: TestClient, engine: ScriptedEngine, result: dict[str, Any], told: str
) -> None:
    say(engine, "Fine.")
    output = {"type": "function_call_output", "output": "21 degrees", **result}
    ask(client, input=[output, USER])
    assert prompt(engine).startswith(f"<|im_start|>user\n{told}<|im_end|>\n<|im_start|>user\nHi")


def test_what_the_client_notes_is_not_read(client: TestClient) -> None:
    body = {"model": "fake", "input": "Hi", "client_metadata": {"turn_id": "1"}}
    answer = client.post(URL, json=body)
    assert answer.status_code == 200
    assert "x-caravan-ignored" not in answer.headers
