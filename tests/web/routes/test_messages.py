"""`/v1/messages` over a scripted model that thinks and calls tools: what it answers, to the letter."""

import json
from collections.abc import Generator
from typing import Any

import pytest
from caravan.errors import EngineFailedError
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine
from tests.web.chat_models import app_over, hermes
from tests.web.messaging import COUNT, HI, URL, WEATHER, ask, error_of, events_of, folded, prompt, say, stream

CALL = hermes("get_weather", '{"city": "Paris"}')
THINK = {"thinking": {"type": "enabled", "budget_tokens": 1024}}


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(context_size=4096)


@pytest.fixture
def client(engine: ScriptedEngine) -> Generator[TestClient, None, None]:
    with app_over(engine) as made:
        yield made


def without_ids(message: dict[str, Any]) -> dict[str, Any]:
    """A message without what is new in each answer."""
    blocks = [{k: v for k, v in block.items() if k != "id"} for block in message["content"]]
    return {**message, "id": "", "content": blocks}


@pytest.mark.parametrize(
    ("pieces", "kinds", "reason"),
    [
        (("Hel", "lo", " there."), ["text"], "end_turn"),
        (("<think>\nHm", "m.\n</thi", "nk>\n\n", "Yes."), ["thinking", "text"], "end_turn"),
        (("<think>\nHm.\n</think>\n\n", CALL[:30], CALL[30:]), ["thinking", "tool_use"], "tool_use"),
        (("I look.\n", CALL, "\n", CALL), ["text", "tool_use", "tool_use"], "tool_use"),
        ((" ",), ["text"], "end_turn"),
    ],
    ids=["text", "thought", "thought and call", "text and calls", "nothing"],
)
def test_a_stream_adds_up_to_the_whole_message(
    client: TestClient, engine: ScriptedEngine, pieces: tuple[str, ...], kinds: list[str], reason: str
) -> None:
    say(engine, *pieces)
    whole = ask(client, tools=[WEATHER], **THINK)
    events = stream(client, tools=[WEATHER], **THINK)
    assert [block["type"] for block in whole["content"]] == kinds
    assert whole["stop_reason"] == reason
    assert without_ids(folded(events)) == without_ids(whole)


def test_events_come_in_anthropics_order(client: TestClient, engine: ScriptedEngine) -> None:
    say(engine, "<think>\nHm.\n</think>\n\n", "I look.\n", CALL)
    events = stream(client, tools=[WEATHER], **THINK)
    assert [
        event["delta"]["type"] if "index" in event and "delta" in event else event["type"] for event in events
    ] == [
        *("message_start", "ping"),
        *("content_block_start", "thinking_delta", "signature_delta", "content_block_stop"),
        *("content_block_start", "text_delta", "content_block_stop"),
        *("content_block_start", "input_json_delta", "content_block_stop"),
        *("message_delta", "message_stop"),
    ]
    assert events[0]["message"]["usage"]["output_tokens"] == 0


def test_calls_say_what_was_called(client: TestClient, engine: ScriptedEngine) -> None:
    say(engine, CALL)
    (call,) = ask(client, tools=[WEATHER])["content"]
    assert (call["name"], call["input"]) == ("get_weather", {"city": "Paris"})
    assert call["id"].startswith("toolu_")


def test_a_whole_round_of_a_call_is_shown_to_the_model(client: TestClient, engine: ScriptedEngine) -> None:
    messages = [
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "x"},
                {"type": "redacted_thinking", "data": "x"},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "content": [{"type": "text", "text": "21"}],
                },
                {"type": "text", "text": "Well?", "cache_control": {"type": "ephemeral"}},
            ],
        },
    ]
    ask(client, system="Be brief.", messages=messages, tools=[WEATHER], **THINK)
    call = json.dumps({"name": "get_weather", "arguments": {"city": "Paris"}})
    assert prompt(engine).split("<tool_call>", 1)[1] == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWeather?<|im_end|>\n"
        f"<|im_start|>assistant\n<think>Hm.</think>I look.<tool_call>{call}</tool_call><|im_end|>\n"
        "<|im_start|>tool\n21<|im_end|>\n<|im_start|>user\nWell?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_failed_tool_is_shown_as_that(client: TestClient, engine: ScriptedEngine) -> None:
    use = {"type": "tool_use", "id": "a", "name": "get_weather", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "a", "content": "no such city", "is_error": True}
    messages = [
        *HI["messages"],
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [result]},
    ]
    ask(client, messages=messages, tools=[WEATHER])
    assert "tool\nError: no such city<|im_end|>" in prompt(engine)


@pytest.mark.parametrize(
    ("choice", "is_bound", "is_parallel"),
    [
        (None, True, True),
        ({"type": "auto", "disable_parallel_tool_use": True}, True, False),
        ({"type": "any"}, True, True),
        ({"type": "tool", "name": "get_weather"}, True, False),
        ({"type": "none"}, False, True),
    ],
)
def test_the_choice_of_tools(
    client: TestClient,
    engine: ScriptedEngine,
    choice: dict[str, Any] | None,
    is_bound: bool,
    is_parallel: bool,
) -> None:
    say(engine, CALL, CALL)
    message = ask(client, tools=[WEATHER], tool_choice=choice)
    assert (engine.requests[-1].constraint is not None) == is_bound
    assert ("get_weather" in prompt(engine)) == is_bound
    if is_bound:
        assert [block["type"] for block in message["content"]] == ["tool_use"] * (1 + is_parallel)
        assert message["stop_reason"] == "tool_use"
        layout = engine.requests[-1].layout
        assert layout is not None
        assert layout.is_all_calls == (choice is not None and choice["type"] in ("any", "tool"))


def test_limits_end_the_text(client: TestClient, engine: ScriptedEngine) -> None:
    say(engine, "one ", "two ", "three ")
    message = ask(client, max_tokens=2)
    assert (message["stop_reason"], message["content"][0]["text"]) == ("max_tokens", "one two ")
    say(engine, CALL[:-18], CALL[-18:])
    message = ask(client, max_tokens=1, tools=[WEATHER])
    assert message["stop_reason"] == "max_tokens"
    assert message["content"][0]["type"] == "tool_use"


def test_thinking_is_on_if_it_is_asked_for(client: TestClient, engine: ScriptedEngine) -> None:
    for fields, is_on, budget in (
        ({}, False, None),
        ({"thinking": {"type": "disabled"}}, False, None),
        (THINK, True, 1024),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}, True, None),
    ):
        say(engine, "<think>\nHm.\n</think>\n\nYes." if is_on else "Yes.")
        message = ask(client, **fields)
        assert prompt(engine).endswith("assistant\n" if is_on else "assistant\n<think></think>")
        assert [block["type"] for block in message["content"]] == ["thinking"] * is_on + ["text"]
        reasoning = engine.requests[-1].reasoning
        assert (reasoning.budget if reasoning else None) == budget


def test_a_thought_can_be_left_out(client: TestClient, engine: ScriptedEngine) -> None:
    say(engine, "<think>\nHm.\n</think>\n\nYes.")
    fields = {"thinking": {"type": "adaptive", "display": "omitted"}}
    whole, events = ask(client, **fields), stream(client, **fields)
    assert whole["content"][0]["thinking"] == ""
    assert whole["content"][0]["signature"]
    assert without_ids(folded(events)) == without_ids(whole)


def test_the_model_sees_again_what_it_thought(client: TestClient, engine: ScriptedEngine) -> None:
    say(engine, "<think>\nHm: ü.\n</think>\n\n", CALL)
    for display in ("omitted", "summarized"):
        fields = {"thinking": {"type": "adaptive", "display": display}, "tools": [WEATHER]}
        thought, call = ask(client, **fields)["content"]
        result = {"type": "tool_result", "tool_use_id": call["id"], "content": "21"}
        ask(client, **fields, **talk("Hi", [thought, call], [result]))
        assert "<think>Hm: ü.</think>" in prompt(engine), display
    foreign = {"type": "thinking", "thinking": "", "signature": "thought.x"}
    ask(client, **fields, **talk("Hi", [foreign, call], [result]))
    assert "<think>" not in prompt(engine)


def test_an_answer_goes_on_with_what_was_begun(client: TestClient, engine: ScriptedEngine) -> None:
    ask(client, messages=[*HI["messages"], {"role": "assistant", "content": "Hel"}])
    assert prompt(engine).endswith("assistant\nHel")


def test_messages_of_one_role_are_one_turn(client: TestClient, engine: ScriptedEngine) -> None:
    block = {"type": "text", "text": "c"}
    ask(client, messages=[{"role": "user", "content": "a"}, {"role": "user", "content": [block, block]}])
    assert "user\na\n\nc\n\nc<|im_end|>" in prompt(engine)


def test_structured_output(client: TestClient, engine: ScriptedEngine) -> None:
    say(engine, '{"a":1}')
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    named = {"type": "json_schema", "schema": schema}
    for fields in ({"output_config": {"format": named}}, {"output_format": named}):
        ask(client, **fields)
        assert engine.requests[-1].constraint is not None
    twice = client.post(URL, json={**HI, "output_config": {"format": named}, "output_format": named})
    assert error_of(twice) == (400, "invalid_request_error", "output_format")
    wrong = {**named, "schema": {"type": "strange"}}
    for fields, place in (
        ({"output_config": {"format": wrong}}, "output_config.format.schema"),
        ({"output_format": wrong}, "output_format.schema"),
    ):
        refused = client.post(URL, json={**HI, **fields})
        assert error_of(refused) == (400, "invalid_request_error", place)


def test_decoding_parameters_reach_the_engine(client: TestClient, engine: ScriptedEngine) -> None:
    ask(client, temperature=0.5, top_k=7, top_p=0.9, seed=3, min_p=0.2, stop_sequences=["a", "b"])
    params = engine.requests[-1].params
    assert (params.temperature, params.top_k, params.top_p, params.min_p) == (0.5, 7, 0.9, 0.2)
    assert (params.seed, tuple(params.stop)) == (3, ("a", "b"))


def test_what_has_no_effect_passes(client: TestClient) -> None:
    cached = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    body = {
        **HI,
        **cached,
        "system": [{"type": "text", "text": "x", **cached}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hi", "citations": None, **cached}]}
        ],
        "tools": [{**WEATHER, **cached, "eager_input_streaming": True}],
        "metadata": {"user_id": "somebody"},
        "service_tier": "auto",
    }
    headers = {
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "a-2025-01-01,b-2025-01-01",
        "x-api-key": "x",
    }
    answer = client.post(f"{URL}?beta=true", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert "x-caravan-ignored" not in answer.headers


def test_what_is_left_out_is_reported(client: TestClient) -> None:
    body = {
        **HI,
        "system": "x-anthropic-billing-header: cc_version=2.1.42.abc; cch=1f3a;",
        "tools": [WEATHER, {"type": "web_search_20250305", "name": "web_search"}],
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "high"},
        "diagnostics": {"previous_message_id": None},
    }
    answer = client.post(URL, json=body)
    assert answer.status_code == 200, answer.text
    assert set(answer.headers["x-caravan-ignored"].split(", ")) == {
        "system[].x-anthropic-billing-header",
        "tools[].web_search_20250305",
        "context_management",
        "output_config.effort",
        "diagnostics",
    }


def test_a_model_that_cannot_think_answers_without(engine: ScriptedEngine) -> None:
    plain = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"
    with app_over(engine, plain) as client:
        answer = client.post(URL, json={**HI, **THINK})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-caravan-ignored"] == "thinking"


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "x"}}
USE = {"type": "tool_use", "id": "a", "name": "get_weather", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "a", "content": "x"}


def talk(*turns: Any) -> dict[str, Any]:  # noqa: ANN401
    """Messages of the user and the assistant in turns."""
    return {
        "messages": [{"role": ("user", "assistant")[i % 2], "content": turn} for i, turn in enumerate(turns)]
    }


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        (talk([IMAGE]), "messages[0].content[0]"),
        (talk("a", [USE], [{**RESULT, "content": [IMAGE]}]), "messages[2].content[0].content[0]"),
        (talk([{"type": "what"}]), "messages[0].content[0]"),
        (talk([RESULT]), "messages[0].content[0].tool_use_id"),
        (talk("a", [{"type": "text", "text": "b"}, USE], "c"), "messages[1].content[1]"),
        (talk("a", [RESULT]), "messages[1].content[0]"),
        (talk([USE]), "messages[0].content[0]"),
        ({"messages": []}, "messages"),
        ({"max_tokens": None}, "max_tokens"),
        ({"temperature": 900}, "temperature"),
        ({"stop_sequences": ["a"], "stop": ["b"]}, "stop_sequences"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tool_choice": {"type": "tool"}, "tools": [WEATHER]}, "tool_choice.name"),
        ({"tool_choice": {"type": "tool", "name": "x"}, "tools": [WEATHER]}, "tool_choice.name"),
        ({"tools": [{**WEATHER, "input_schema": {"type": "array"}}]}, "tools[0].input_schema.type"),
        ({"tools": [WEATHER, WEATHER]}, "tools[1].name"),
        ({"thinking": {"type": "adaptive", "budget_tokens": 5}}, "thinking.budget_tokens"),
        ({**talk("a", "b"), **THINK}, "thinking.budget_tokens"),
        ({"frequency_penalty": 90}, "frequency_penalty"),
        ({"logprobs": True}, "logprobs"),
        ({"temprature": 1}, "temprature"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refusals_name_the_field_in_anthropics_envelope(
    client: TestClient, engine: ScriptedEngine, fields: dict[str, Any], param: str
) -> None:
    for stream_too in ({}, {"stream": True}):
        answer = client.post(URL, json={**HI, **fields, **stream_too})
        assert error_of(answer) == (400, "invalid_request_error", param), answer.text
        assert f"'{param}" in answer.json()["error"]["message"]
    assert not engine.requests


def test_failures_have_anthropics_types(client: TestClient, engine: ScriptedEngine) -> None:
    assert error_of(client.post(URL, json={**HI, "model": "none"})) == (404, "not_found_error", "model")
    assert error_of(client.get(URL))[:2] == (405, "invalid_request_error")
    assert error_of(client.get(f"{URL}/x"))[:2] == (404, "not_found_error")
    assert error_of(client.post(URL, content=b"{"))[:2] == (400, "invalid_request_error")
    long = client.post(URL, json={**HI, **talk("x" * 9000)})
    assert error_of(long)[:2] == (400, "invalid_request_error")
    assert long.json()["error"]["message"].startswith("prompt is too long: ")
    engine.failure = EngineFailedError("It failed.")
    assert error_of(client.post(URL, json=HI))[:2] == (500, "api_error")


def test_a_thread_is_refused_as_the_sdk_reads_it(client: TestClient) -> None:
    refused = client.post(URL, json={**HI, "thread": {"type": "create"}})
    assert error_of(refused) == (400, "invalid_request_error", "thread")
    assert refused.json()["error"]["details"]["error_code"] == "thread_unsupported_request"


def test_a_later_failure_is_an_error_event(client: TestClient, engine: ScriptedEngine) -> None:
    say(engine, "one ", "two ")
    engine.failure, engine.fail_after = EngineFailedError("It failed."), 1
    events = events_of(client.post(URL, json={**HI, "stream": True}).text)
    assert events[0]["type"] == "message_start"
    assert events[-1]["type"] == "error"
    assert events[-1]["error"]["type"] == "api_error"
    assert events[-1]["error"]["details"]["error_code"] == "engine_error"


def test_tokens_are_counted_as_they_are_computed(client: TestClient, engine: ScriptedEngine) -> None:
    fields: dict[str, Any] = {"system": "Be brief.", "tools": [WEATHER], **THINK}
    usage = ask(client, **fields)["usage"]
    counted = client.post(COUNT, json={"model": "fake", "messages": HI["messages"], **fields})
    assert counted.json() == {"input_tokens": len(engine.requests[-1].token_ids)}
    assert usage["input_tokens"] + usage["cache_read_input_tokens"] == counted.json()["input_tokens"]
    assert len(engine.requests) == 1
    refused = client.post(COUNT, json={"model": "fake", **talk([RESULT])})
    assert error_of(refused) == (400, "invalid_request_error", "messages[0].content[0].tool_use_id")


def test_the_root_answers_those_who_look_for_a_server(client: TestClient) -> None:
    assert client.head("/").status_code == 200
