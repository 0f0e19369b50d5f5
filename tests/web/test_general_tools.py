"""Tools of a model whose template has no place for them, by each protocol, over a scripted model."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from caravan.web.startup_message import startup_message

from tests.chat.rendering.sources import FIRST_SYSTEM, STRICT
from tests.chat.test_tool_grammars import accepts
from tests.fakes_web import ScriptedEngine, loaded_model, registry_over
from tests.web.chat_models import HERMES, WEATHER, app_over
from tests.web.routes.test_chat import chunks
from tests.web.test_tools import CALLED, folded, says

ASKED = "Weather in Oslo?"
FORM = '{"tool_calls": [{"name": "NAME", "arguments": {"PARAMETER": "VALUE"}}]}'
TEXT = '{"response": "text"}'
FUNCTION = WEATHER["function"]
FLAT = {"type": "function", **FUNCTION}
SCHEMA = {"name": FUNCTION["name"], "description": FUNCTION["description"]}
Body = dict[str, Any]
USER = {"role": "user", "content": ASKED}


def chat(answer: Body | None) -> Body:
    """A chat, with the call of an earlier answer and its result."""
    said: list[Body] = [USER]
    if answer is not None:
        message = answer["choices"][0]["message"]
        call_id = message["tool_calls"][0]["id"]
        said += [message, {"role": "tool", "tool_call_id": call_id, "content": "2 degrees"}]
    return {"messages": said, "tools": [WEATHER]}


def response(answer: Body | None) -> Body:
    """The same as a response."""
    items: list[Body] = [USER]
    if answer is not None:
        [call] = answer["output"]
        items += [call, {"type": "function_call_output", "call_id": call["call_id"], "output": "2 degrees"}]
    return {"input": items, "tools": [FLAT]}


def message(answer: Body | None) -> Body:
    """The same as a message of Anthropic's."""
    said: list[Body] = [USER]
    if answer is not None:
        [call] = answer["content"]
        result = {"type": "tool_result", "tool_use_id": call["id"], "content": "2 degrees"}
        said += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    tool = {**SCHEMA, "input_schema": FUNCTION["parameters"]}
    return {"max_tokens": 100, "messages": said, "tools": [tool]}


def ollama(answer: Body | None) -> Body:
    """The same for Ollama's API."""
    said: list[Body] = [USER]
    if answer is not None:
        result = {"role": "tool", "tool_name": "get_weather", "content": "2 degrees"}
        said += [answer["message"], result]
    return {"messages": said, "tools": [WEATHER], "stream": False}


PROTOCOLS = {
    "/v1/chat/completions": chat,
    "/v1/responses": response,
    "/v1/messages": message,
    "/api/chat": ollama,
}


def shown(token_ids: Sequence[int]) -> str:
    """A prompt as text, without control tokens."""
    return bytes(token for token in token_ids if token < 256).decode()


@pytest.mark.parametrize("template", [FIRST_SYSTEM, STRICT])
def test_a_round_of_call_result_and_answer(template: str) -> None:
    prompts = []
    for url, write in PROTOCOLS.items():
        engine = ScriptedEngine(context_size=10_000)
        with app_over(engine, template) as client:
            says(engine, CALLED)
            first = client.post(url, json={"model": "fake", **write(None)})
            assert first.status_code == 200, first.text
            says(engine, f"{TEXT}\nCold.")
            last = client.post(url, json={"model": "fake", **write(first.json())})
            assert last.status_code == 200, last.text
            assert "Cold." in last.text
            assert "response\\" not in last.text
        prompts.append([shown(request.token_ids) for request in engine.requests])
    asked, told = prompts[0]
    assert asked.index(json.dumps(WEATHER)) < asked.index(FORM) < asked.index(ASKED)
    assert told.index(ASKED) < told.index(CALLED) < told.index("2 degrees")
    assert prompts == [prompts[0]] * len(PROTOCOLS)


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_streamed_it_is_the_same(size: int) -> None:
    engine = ScriptedEngine(context_size=10_000)
    with app_over(engine, STRICT) as client:
        says(engine, f"I will look.\n\n{CALLED}", size)
        sent = chunks(
            client.post("/v1/chat/completions", json={"model": "fake", "stream": True, **chat(None)}).text
        )
    found = folded(sent)
    [call] = found["message"]["tool_calls"]
    assert (found["finish_reason"], found["message"]["content"]) == ("tool_calls", "I will look.")
    assert call["function"] == {"name": "get_weather", "arguments": '{"city": "Oslo"}'}


@pytest.mark.parametrize(
    ("fields", "takes", "refuses"),
    [
        ({}, [CALLED, f"{TEXT}\nCold."], ["Cold.", CALLED.replace("get_weather", "dance")]),
        ({"tool_choice": "required"}, [CALLED], [f"{TEXT}\nCold."]),
        ({"response_format": {"type": "json_object"}}, [CALLED, '{"a": 1}'], [f"{TEXT}\nCold.", "Cold."]),
        ({}, [f"{CALLED[:-2]}, {CALLED[16:]}"], []),
        ({"parallel_tool_calls": False}, [CALLED], [f"{CALLED[:-2]}, {CALLED[16:]}"]),
    ],
)
def test_answers_are_bound(fields: Body, takes: list[str], refuses: list[str]) -> None:
    engine = ScriptedEngine(context_size=10_000)
    with app_over(engine, STRICT) as client:
        says(engine, CALLED)
        asked = {"model": "fake", **chat(None), **fields}
        assert client.post("/v1/chat/completions", json=asked).status_code == 200
    constraint = engine.requests[0].constraint
    assert constraint is not None
    assert constraint.binds_at_once
    assert [accepts(constraint.grammar, text) for text in (*takes, *refuses)] == [
        *(True for _ in takes),
        *(False for _ in refuses),
    ]


def test_an_answer_that_is_gone_on_with_has_begun() -> None:
    engine = ScriptedEngine(context_size=10_000)
    with app_over(engine, STRICT) as client:
        says(engine, f" I will look.\n{CALLED}")
        asked = {**chat(None), "continue_final_message": True}
        asked["messages"] = [USER, {"role": "assistant", "content": "Well."}]
        answer = client.post("/v1/chat/completions", json={"model": "fake", **asked})
    [choice] = answer.json()["choices"]
    assert choice["message"]["content"] == " I will look."
    assert choice["message"]["tool_calls"][0]["function"]["name"] == "get_weather"
    constraint = engine.requests[0].constraint
    assert constraint is not None
    assert not constraint.binds_at_once


@pytest.mark.parametrize(("template", "is_told"), [(STRICT, True), (HERMES, False)])
def test_the_start_and_the_model_tell(template: str, is_told: bool) -> None:
    registry = registry_over(loaded_model(template=template))
    asyncio.run(registry.start())
    message = startup_message(registry, ("127.0.0.1", 80), num_keys=0, is_tls=False)
    assert ("  tools:    by a general prompt, called as 'generic'" in message) == is_told
    with app_over(ScriptedEngine(), template) as client:
        details = client.get("/v1/models/fake").json()["chat_template"]
        assert "tools" in client.post("/api/show", json={"model": "fake"}).json()["capabilities"]
    assert (details["tools"], details["tool_format"] == "generic") == (not is_told, is_told)
    assert any("a general prompt" in told for told in details["adaptations"]) == is_told
