"""`/v1/messages` over a scripted model that thinks and calls tools: what it answers, to the letter."""

import json
from typing import Any

import pytest
from caravan.errors import EngineFailedError
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine
from tests.web.chat_models import app_over, hermes
from tests.web.messaging import (
    COUNT,
    HI,
    RESULT,
    URL,
    USE,
    WEATHER,
    ask,
    error_of,
    events_of,
    folded,
    prompt,
    say,
    stream,
    talk,
)

CALL = hermes("get_weather", '{"city": "Paris"}')
THINK = {"thinking": {"type": "enabled", "budget_tokens": 1024}}


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


def test_what_the_system_says_before_a_result_follows_it(client: TestClient, engine: ScriptedEngine) -> None:
    call, result = {"role": "assistant", "content": [USE]}, {"role": "user", "content": [RESULT]}
    told = {"role": "system", "content": "Be brief."}
    ask(client, messages=[*HI["messages"], call, told, result], tools=[WEATHER])
    assert "tool\nx<|im_end|>\n<|im_start|>system\nBe brief.<|im_end|>\n" in prompt(engine)


def test_documents_of_text_are_read(client: TestClient, engine: ScriptedEngine) -> None:
    text = {"type": "text", "text": "It is 21."}
    plain = {"type": "text", "media_type": "text/plain", "data": "It is 21."}
    found = {"type": "search_result", "source": "a.b", "title": "Weather", "content": [text]}
    asked = [
        {"type": "document", "source": plain, "title": "Weather", "citations": {"enabled": False}},
        {"type": "document", "source": {"type": "content", "content": [text]}, "context": "Of today."},
        found,
        {"type": "text", "text": "Well?"},
    ]
    ask(client, messages=talk(asked, [USE], [{**RESULT, "content": [found]}])["messages"], tools=[WEATHER])
    above = ("Weather", "Of today.", "Weather\n\na.b")
    documents = [f"<document>\n{title}\n\nIt is 21.\n</document>" for title in above]
    shown = "\n\n".join([*documents, "Well?"])
    assert f"user\n{shown}<|im_end|>" in prompt(engine)
    assert f"tool\n{documents[-1]}<|im_end|>" in prompt(engine)


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
    for display in ("omitted", "summarized", "updates"):
        fields = {"thinking": {"type": "adaptive", "display": display}, "tools": [WEATHER]}
        thought, call = ask(client, **fields)["content"]
        result = {"type": "tool_result", "tool_use_id": call["id"], "content": "21"}
        ask(client, **fields, **talk("Hi", [thought, call], [result]))
        assert "<think>Hm: ü.</think>" in prompt(engine), display
    for signature in ("thought.x", "thought.é", "thought.\0", "é"):
        foreign = {"type": "thinking", "thinking": "", "signature": signature}
        ask(client, **fields, **talk("Hi", [foreign, call], [result]))
        assert "<think>" not in prompt(engine), signature


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
    for path in ("/", "/api/hello"):
        assert client.head(path).status_code == 200
        assert client.get(path).text.startswith("Caravan is running.")
