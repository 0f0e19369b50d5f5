"""Requests that Codex 0.171 has sent, long texts cut, over a scripted model that calls its tools."""

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine
from tests.responses_contract import events_of, folded
from tests.web.chat_models import hermes
from tests.web.responding import URL, prompt, say

SENT: list[dict[str, Any]] = [
    json.loads(line) for line in (Path(__file__).parents[1] / "data" / "codex.jsonl").read_text().splitlines()
]
FIRST, SUMMING_UP, WITH_NAMESPACE, WITH_ADDED_TOOLS, WITH_ADDED_TOOLS_AND_A_RESULT = SENT
THOUGHT = "<think>\nI look.\n</think>\n\n"


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(context_size=65_536)


def answered(client: TestClient, body: dict[str, Any], ignored: str | None) -> list[dict[str, Any]]:
    """The items of the answer, each event of which OpenAI's types take."""
    answer = client.post(URL, json={**body, "model": "fake"})
    assert answer.status_code == 200, answer.text
    assert answer.headers.get("x-caravan-ignored") == ignored
    events = events_of(answer.text)
    assert events[-1]["type"] == "response.completed"
    items = folded(events)
    assert items == events[-1]["response"]["output"]
    return items


def test_its_shell_is_called_after_a_thought_that_it_can_show(
    client: TestClient, engine: ScriptedEngine
) -> None:
    say(engine, THOUGHT, hermes("exec_command", '{"cmd": "cat note.txt"}'))
    thought, call = answered(client, FIRST, "tools[].web_search")
    assert thought["summary"] == [{"type": "summary_text", "text": "I look."}]
    assert (call["name"], call["arguments"]) == ("exec_command", '{"cmd": "cat note.txt"}')
    assert "namespace" not in call


def test_a_tool_of_a_namespace_is_called_and_its_result_taken_back(
    client: TestClient, engine: ScriptedEngine
) -> None:
    say(engine, hermes("multi_agent_v1__close_agent", '{"target": "a"}'))
    (call,) = answered(client, FIRST, "tools[].web_search")
    assert (call["namespace"], call["name"]) == ("multi_agent_v1", "close_agent")
    say(engine, "There is no such agent.")
    answered(client, WITH_NAMESPACE, None)
    shown = prompt(engine)
    assert '{"name": "multi_agent_v1__close_agent", "arguments": {"target": "nobody"}}' in shown
    assert "invalid agent id nobody" in shown


def test_it_has_a_conversation_summed_up_by_a_request_like_any_other(
    client: TestClient, engine: ScriptedEngine
) -> None:
    say(engine, "The note was read.")
    (message,) = answered(client, SUMMING_UP, None)
    assert message["content"][0]["text"] == "The note was read."
    shown = prompt(engine)
    assert "<think>I look at the file.</think>" in shown
    assert "CONTEXT CHECKPOINT COMPACTION" in shown


def test_tools_that_come_as_an_item_are_called(client: TestClient, engine: ScriptedEngine) -> None:
    """So it asks for the models of its own list, with `text.verbosity` and `reasoning.context`."""
    say(engine, hermes("functions__exec", '{"input": "text(1)"}'))
    (call,) = answered(client, WITH_ADDED_TOOLS, "text.verbosity")
    assert (call["type"], call["namespace"], call["name"], call["input"]) == (
        "custom_tool_call",
        "functions",
        "exec",
        "text(1)",
    )
    say(engine, "Done.")
    answered(client, WITH_ADDED_TOOLS_AND_A_RESULT, "text.verbosity")
    assert "collaboration__spawn_agent" in prompt(engine)
