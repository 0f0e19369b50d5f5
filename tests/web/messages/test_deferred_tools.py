"""Tools of `/v1/messages` that come and go in the midst of a conversation."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine
from tests.web.chat_models import hermes
from tests.web.messaging import HI, URL, WEATHER, ask, error_of, prompt, say

SEARCH = {"name": "ToolSearch", "input_schema": {"type": "object", "properties": {"query": {}}}}
LATER = {**WEATHER, "defer_loading": True}
HIDDEN = {**WEATHER, "name": "hidden", "defer_loading": True}
TOOLS = [SEARCH, LATER, HIDDEN]
USE = {"type": "tool_use", "id": "a", "name": "ToolSearch", "input": {"query": "weather"}}
FOUND = {"type": "tool_reference", "tool_name": "get_weather"}
DEFINITION = (
    '<functions>\n<function>{"description":"Get the weather of a city.","name":"get_weather",'
    '"parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}</function>\n'
    "</functions>"
)
CALL = hermes("get_weather", '{"city": "Paris"}')


def searched(*content: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    """A conversation up to the result of a search for tools."""
    result = {"type": "tool_result", "tool_use_id": "a", "content": list(content)}
    return [
        *HI["messages"],
        {"role": "assistant", "content": [USE]},
        {"role": "user", "content": [result]},
    ]


def changed(kind: str, name: str = "get_weather") -> dict[str, Any]:
    """A message of the system by which a tool comes or goes."""
    return {"role": "system", "content": [{"type": kind, "tool": {"type": "tool_reference", "name": name}}]}


def test_a_tool_is_shown_where_it_was_found_and_costs_no_prefix(
    client: TestClient, engine: ScriptedEngine
) -> None:
    ask(client, tools=TOOLS)
    before = prompt(engine)
    assert "ToolSearch" in before
    assert "get_weather" not in before
    say(engine, CALL)
    (call,) = ask(client, tools=TOOLS, messages=searched({"type": "text", "text": "One."}, FOUND))["content"]
    assert (call["type"], call["name"], call["input"]) == ("tool_use", "get_weather", {"city": "Paris"})
    after = prompt(engine)
    assert f"tool\nOne.\n\n{DEFINITION}<|im_end|>" in after
    assert "hidden" not in after
    head = before.removesuffix("assistant\n<think></think>")
    assert after.startswith(head)


def test_a_tool_that_was_not_found_cannot_be_called(client: TestClient, engine: ScriptedEngine) -> None:
    for name, is_there in (("get_weather", True), ("hidden", False)):
        fields = {"tool_choice": {"type": "tool", "name": name}, "tools": TOOLS, "messages": searched(FOUND)}
        say(engine, CALL)
        answer = client.post(URL, json={**HI, **fields})
        if is_there:
            assert answer.status_code == 200, answer.text
        else:
            assert error_of(answer) == (400, "invalid_request_error", "tool_choice.name")


def test_tools_come_and_go_by_messages_of_the_system(client: TestClient, engine: ScriptedEngine) -> None:
    turns = [
        changed("tool_addition"),
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]
    named = {"tool_choice": {"type": "tool", "name": "get_weather"}, "tools": TOOLS}
    say(engine, CALL)
    ask(client, messages=[*HI["messages"], *turns], **named)
    assert f"system\n{DEFINITION}<|im_end|>" in prompt(engine)
    gone = [*HI["messages"], *turns, changed("tool_removal")]
    assert error_of(client.post(URL, json={**HI, "messages": gone, **named}))[2] == "tool_choice.name"
    ask(client, messages=gone, tools=TOOLS)
    assert "system\nThe tool get_weather is no longer available.<|im_end|>" in prompt(engine)
    ask(client, messages=[*HI["messages"], changed("tool_removal", "ToolSearch")], tools=[SEARCH, WEATHER])
    assert "ToolSearch" in prompt(engine).split("no longer")[0]


def test_no_tool_is_written_twice_however_often_it_is_found(
    client: TestClient, engine: ScriptedEngine
) -> None:
    calls, results = searched(*[FOUND] * 9)[1:]
    turns = [calls, results, changed("tool_removal"), changed("tool_addition")]
    ask(client, tools=TOOLS, messages=[*searched(FOUND), *turns])
    assert prompt(engine).count("<function>") == 1
    told = [f"The tool get_weather is {state}available." for state in ("", "no longer ")]
    assert f"tool\n{chr(10).join([told[0]] * 9)}<|im_end|>" in prompt(engine)
    assert f"system\n{told[1]}\n\n{told[0]}<|im_end|>" in prompt(engine)


def test_deferred_tools_are_listed_where_anthropics_search_was_to_find_them(
    client: TestClient, engine: ScriptedEngine
) -> None:
    server_tool = {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"}
    answer = client.post(URL, json={**HI, "tools": [server_tool, LATER]})
    assert answer.headers["x-caravan-ignored"] == "tools[].tool_search_tool_regex_20251119"
    assert "get_weather" in prompt(engine)


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        (searched({**FOUND, "tool_name": "none"}), "messages[2].content[0].content[0].tool_name"),
        ([*HI["messages"], changed("tool_addition", "none")], "messages[1].content[0].tool.name"),
        ([{**changed("tool_addition"), "role": "user"}], "messages[0].content[0]"),
        ([*HI["messages"], {**changed("tool_removal"), "role": "assistant"}], "messages[1].content[0]"),
        ([{**HI["messages"][0], "clear_at": "never"}], "messages[0].clear_at"),
    ],
)
def test_what_is_refused(client: TestClient, messages: list[dict[str, Any]], param: str) -> None:
    answer = client.post(URL, json={**HI, "tools": TOOLS, "messages": messages})
    assert error_of(answer) == (400, "invalid_request_error", param), answer.text


def test_a_message_for_one_turn_is_shown_in_that_turn_alone(
    client: TestClient, engine: ScriptedEngine
) -> None:
    hint = {"role": "system", "content": "A hint.", "clear_at": "next_user_message"}
    turns = [*HI["messages"], hint]
    ask(client, messages=turns)
    assert "A hint." in prompt(engine)
    turns += [{"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    ask(client, messages=turns)
    assert "A hint." not in prompt(engine)
    turns[1]["clear_at"] = "never"
    ask(client, messages=turns)
    assert "A hint." in prompt(engine)
