"""Tools on chat completions as clients see them, over a scripted model."""

import dataclasses
import json
import re
from collections.abc import Generator
from functools import partial
from typing import Any

import openai.types.chat as openai_chat
import pytest
from caravan.chat.families import recognise
from caravan_schemas.chat import ChatCompletion, ChatCompletionChunk
from fastapi.testclient import TestClient

from tests.chat.test_tool_grammars import accepts
from tests.fakes_web import ScriptedEngine, loaded_model
from tests.web.chat_models import HERMES, SQL, TIME, WEATHER, app_over, hermes
from tests.web.routes.test_chat import URL, body, chunks, events

PARIS = hermes("get_weather", '{"city": "Paris"}')
CALLED = '{"tool_calls": [{"name": "get_weather", "arguments": {"city": "Oslo"}}]}'
ROME = hermes("get_weather", '{"city": "Rome"}')


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(context_size=8192)


@pytest.fixture
def client(engine: ScriptedEngine) -> Generator[TestClient, None, None]:
    with app_over(engine) as client:
        yield client


def says(engine: ScriptedEngine, text: str, size: int = 3) -> None:
    """Have the model say a text in pieces of some characters."""
    engine.script = lambda _request, _index: [text[i : i + size] for i in range(0, len(text), size)]


def offer(*tools: object, **fields: object) -> dict[str, Any]:
    return body(tools=list(tools) or [WEATHER, TIME], **fields)


def answered(client: TestClient, request: dict[str, Any]) -> dict[str, Any]:
    """The only choice of the plain answer, checked against both schemas."""
    answer = client.post(URL, json=request)
    assert answer.status_code == 200, answer.text
    ChatCompletion.model_validate_json(answer.content)
    openai_chat.ChatCompletion.model_validate_json(answer.content, strict=True)
    choice: dict[str, Any] = answer.json()["choices"][0]
    return choice


def without_ids(message: dict[str, Any]) -> dict[str, Any]:
    for call in message.get("tool_calls", ()):
        assert re.fullmatch(r"call_[0-9a-f]{24}", call.pop("id"))
    return message


def folded(sent: list[dict[str, Any]], index: int = 0) -> dict[str, Any]:
    """A choice out of its chunks, as OpenAI's clients put it together."""
    message: dict[str, Any] = {}
    reason = None
    for choice in (c for chunk in sent for c in chunk["choices"] if c["index"] == index):
        assert reason is None
        reason = choice["finish_reason"]
        for key, value in choice["delta"].items():
            if key == "tool_calls":
                for call in value:
                    calls = message.setdefault("tool_calls", [])
                    if call["index"] == len(calls):
                        calls.append({key: value for key, value in call.items() if key != "index"})
                    else:
                        kind = "function" if "function" in call else "custom"
                        for name, text in call[kind].items():
                            calls[call["index"]][kind][name] += text
            elif key == "function_call":
                call = message.setdefault("function_call", {"arguments": ""})
                call["arguments"] += value["arguments"]
                call.update({k: v for k, v in value.items() if k == "name"})
            elif message.get(key) is None:
                message[key] = value
            else:
                message[key] += value
    return {"message": message, "finish_reason": reason}


def test_one_call(client: TestClient, engine: ScriptedEngine) -> None:
    says(engine, PARIS)
    choice = answered(client, offer())
    assert without_ids(choice["message"]) == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "annotations": [],
        "tool_calls": [
            {"type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
        ],
    }
    assert choice["finish_reason"] == "tool_calls"


def test_chunks_of_a_call_are_openais(client: TestClient, engine: ScriptedEngine) -> None:
    says(engine, PARIS, size=100)
    sent = chunks(client.post(URL, json=offer(stream=True)).text)
    deltas = [chunk["choices"][0]["delta"] for chunk in sent]
    call_id = deltas[1]["tool_calls"][0].pop("id")
    assert call_id.startswith("call_")
    assert deltas == [
        {"role": "assistant", "content": None, "refusal": None},
        {
            "tool_calls": [
                {"index": 0, "type": "function", "function": {"name": "get_weather", "arguments": ""}}
            ]
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"city": "Paris"}'}}]},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in sent] == [None, None, None, "tool_calls"]


SAID = {
    "a call": PARIS,
    "content": "Hello there.",
    "nothing": "",
    "content and two calls": f"Let me see.\n{PARIS}\n{ROME}",
    "a thought": "<think>\nHm.\n</think>\n\nHello.",
    "a thought alone": "<think>\nHm",
    "a thought and a call": f"<think>\nHm.\n</think>\n\n{PARIS}",
    "a call cut off": PARIS[:-25],
    "difficult text": '\u2028"é\\👩‍👩‍👧 ' + hermes("get_weather", '{"city": "\u2029\\u00e9"}'),
}


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("form", ["auto", "required", "none", "legacy"])
@pytest.mark.parametrize("text", SAID.values(), ids=SAID)
def test_stream_folds_into_the_plain_answer(
    client: TestClient, engine: ScriptedEngine, text: str, form: str, n: int
) -> None:
    cut = partial(re.findall, "(?s:..?.?)", text)
    # What is cut off has more to say.
    rest = ["..."] if text == SAID["a call cut off"] else []
    engine.script = lambda _request, _index: [*cut(), *rest] or [""]
    limit = {"max_tokens": len(cut())} if rest else {}
    request = offer(tool_choice=form, n=n, **limit)
    if form == "legacy":
        request = body(functions=[WEATHER["function"], TIME["function"]], n=n, **limit)
    whole = client.post(URL, json=request)
    assert whole.status_code == 200, whole.text
    streamed = {**request, "stream": True, "stream_options": {"include_usage": True}}
    sent = chunks(client.post(URL, json=streamed).text)
    for choice in whole.json()["choices"]:
        assert choice["message"].pop("annotations") == []
        expected = {"message": without_ids(choice["message"]), "finish_reason": choice["finish_reason"]}
        found = folded(sent, choice["index"])
        without_ids(found["message"])
        assert found == expected
    assert sent[-1]["usage"] == whole.json()["usage"]


def test_a_custom_tool_is_called_with_its_input(client: TestClient, engine: ScriptedEngine) -> None:
    says(engine, hermes("sql", '{"input": "select \\"a\\"\\n from b"}') + ROME)
    calls = without_ids(answered(client, offer(SQL, WEATHER))["message"])["tool_calls"]
    assert calls == [
        {"type": "custom", "custom": {"name": "sql", "input": 'select "a"\n from b'}},
        {"type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'}},
    ]
    # The types of OpenAI's client do not know custom tools in streams.
    data = events(client.post(URL, json=offer(SQL, WEATHER, stream=True)).text)[:-1]
    sent = [ChatCompletionChunk.model_validate_json(event).model_dump(exclude_unset=True) for event in data]
    assert without_ids(folded(sent)["message"])["tool_calls"] == calls


@pytest.mark.parametrize("fields", [{"parallel_tool_calls": False}, {"tool_choice": "required"}])
def test_calls_are_parallel_unless_the_request_says_no(
    client: TestClient, engine: ScriptedEngine, fields: dict[str, object]
) -> None:
    says(engine, PARIS + ROME)
    message = answered(client, offer(**fields))["message"]
    constraint = engine.requests[0].constraint
    assert constraint is not None
    if "parallel_tool_calls" in fields:
        assert len(message["tool_calls"]) == 1
    else:
        assert [call["function"]["arguments"] for call in message["tool_calls"]] == [
            '{"city": "Paris"}',
            '{"city": "Rome"}',
        ]


def test_none_shows_no_tools_and_reads_none(client: TestClient, engine: ScriptedEngine) -> None:
    says(engine, PARIS)
    choice = answered(client, offer(tool_choice="none"))
    assert choice["message"] == {"role": "assistant", "content": PARIS, "refusal": None, "annotations": []}
    answered(client, body())
    assert engine.requests[0].token_ids == engine.requests[1].token_ids


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "tool_calls"),
        ({"tool_choice": "auto"}, "tool_calls"),
        ({"tool_choice": "required"}, "tool_calls"),
        ({"tool_choice": {"type": "function", "function": {"name": "get_weather"}}}, "stop"),
        (
            {
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {
                        "mode": "required",
                        "tools": [{"type": "function", "function": {"name": "get_weather"}}],
                    },
                }
            },
            "tool_calls",
        ),
    ],
)
def test_finish_reasons_are_openais(
    client: TestClient, engine: ScriptedEngine, fields: dict[str, object], reason: str
) -> None:
    says(engine, PARIS)
    assert answered(client, offer(**fields))["finish_reason"] == reason
    assert answered(client, offer(**fields, max_tokens=2))["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("call", "reason"),
    [(None, "function_call"), ("auto", "function_call"), ({"name": "get_weather"}, "stop")],
)
def test_the_older_form(client: TestClient, engine: ScriptedEngine, call: object, reason: str) -> None:
    says(engine, PARIS)
    choice = answered(client, body(functions=[WEATHER["function"]], function_call=call))
    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "annotations": [],
        "function_call": {"name": "get_weather", "arguments": '{"city": "Paris"}'},
    }
    assert choice["finish_reason"] == reason


def test_the_constraint_fits_the_choice(client: TestClient, engine: ScriptedEngine) -> None:
    says(engine, PARIS)
    named = {"type": "function", "function": {"name": "get_time"}}
    for choice in ("auto", "required", named):
        answered(client, offer(tool_choice=choice))
    auto, required, forced = (request.constraint for request in engine.requests)
    assert auto is not None
    assert required is not None
    assert forced is not None
    assert (auto.after, required.after, forced.after) == (("<tool_call>",), (), ())
    assert auto.grammar == required.grammar
    assert "get_time" in required.grammar
    assert "get_weather" not in forced.grammar


def test_a_format_binds_what_is_not_a_call(client: TestClient, engine: ScriptedEngine) -> None:
    says(engine, PARIS)
    answered(client, offer(response_format={"type": "json_object"}))
    constraint = engine.requests[0].constraint
    assert constraint is not None
    assert constraint.after == ()
    answered(client, offer(response_format={"type": "json_object"}, tool_choice="required"))
    required = engine.requests[1].constraint
    assert required is not None
    assert len(required.grammar) < len(constraint.grammar)


@pytest.mark.parametrize("form", ["hermes", "json", "llama3_json", "generic"])
def test_an_object_may_begin_as_calls_do(engine: ScriptedEngine, form: str) -> None:
    model = dataclasses.replace(loaded_model(engine, template=HERMES), family=recognise(HERMES, form))
    with app_over(engine, model=model) as client:
        says(engine, "{}")
        answered(client, offer(response_format={"type": "json_object"}))
    constraint = engine.requests[0].constraint
    assert constraint is not None
    for text in ('{"name": "Anna"}', '{"tool_calls": 0}', '{"name": "get_weather"}'):
        assert accepts(constraint.grammar, text), text


def test_tools_are_shown_as_openai_writes_them(client: TestClient, engine: ScriptedEngine) -> None:
    says(engine, "x")
    answered(client, offer(WEATHER, TIME))
    prompt = bytes(t for t in engine.requests[0].token_ids if t < 256).decode()
    assert prompt.startswith(json.dumps(WEATHER) + "\n")
    assert '"get_time", "parameters": {"type": "object", "properties": {}' in prompt


def test_a_conversation_with_calls_comes_back(client: TestClient, engine: ScriptedEngine) -> None:
    says(engine, f"Well.{PARIS}")
    request = offer(WEATHER)
    message = answered(client, request)["message"]
    result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "sunny"}
    says(engine, "It is sunny.")
    request["messages"] += [message, result]
    assert answered(client, request)["message"]["content"] == "It is sunny."
    prompt = bytes(t for t in engine.requests[1].token_ids if t < 256).decode()
    assert 'Well.<tool_call>{"name": "get_weather", "arguments": {"city": "Paris"}}</tool_call>' in prompt
    assert "tool\nsunny" in prompt


def test_logprobs_of_all_tokens_are_in_the_chunks(client: TestClient, engine: ScriptedEngine) -> None:
    says(engine, PARIS)
    assert answered(client, offer(logprobs=True))["logprobs"] is not None


def test_a_template_without_tools_gets_them_in_the_system_message(engine: ScriptedEngine) -> None:
    engine.script = lambda _request, _index: [CALLED]
    with app_over(engine, "{% for m in messages %}{{ m.role + m.content }}{% endfor %}") as client:
        for field, value in (("tools", [WEATHER]), ("functions", [WEATHER["function"]])):
            choice = client.post(URL, json=body(**{field: value})).json()["choices"][0]
            assert choice["finish_reason"] in ("tool_calls", "function_call")
            prompt = bytes(engine.requests[-1].token_ids).decode()
            assert prompt.startswith("system# Tools")
            assert "Get the weather of a city." in prompt
        assert client.post(URL, json=body(tools=[WEATHER], tool_choice="none")).status_code == 200
        assert "Tools" not in bytes(engine.requests[-1].token_ids).decode()
        assert client.post(URL, json=body(tools=[], tool_choice="auto")).status_code == 200
