"""Answers, chunks and events hold to OpenAI's own types: nothing wrong, missing or null that OpenAI fills."""

import base64
import copy
import json
import threading
from collections.abc import Generator, Iterator
from typing import Any, get_args

import numpy as np
import openai.types as text_types
import openai.types.chat as chat_types
import openai.types.responses as response_types
import pytest
from caravan.errors import EngineFailedError
from caravan_schemas.responses_events import Event
from fastapi.testclient import TestClient
from openai.types.responses.response_item_list import ResponseItemList

from tests.fakes_web import ScriptedEngine
from tests.openai_contract import check, faults
from tests.responses_contract import checked_event
from tests.waiting import PATIENCE, wait_until
from tests.web.chat_models import SQL, TIME, WEATHER, app_over, hermes
from tests.web.responding import ask, stream
from tests.web.routes.test_chat import events

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
RESPONSES = "/v1/responses"
ASKED: dict[str, Any] = {"model": "fake", "messages": [{"role": "user", "content": "x"}]}

THOUGHT = "<think>\nHm.\n</think>\n\n"
PARIS = hermes("get_weather", '{"city": "Paris"}')
QUERY = hermes("sql", '{"input": "SELECT 1;"}')
TOOLS: dict[str, Any] = {"tools": [WEATHER, TIME, SQL]}
NAMED = {"type": "function", "function": {"name": "get_weather"}}
FUNCTIONS = {"functions": [tool["function"] for tool in (WEATHER, TIME)]}
OPTIONS: list[dict[str, bool]] = [
    {},
    {"include_usage": True},
    {"include_usage": True, "continuous_usage_stats": True},
    {"include_obfuscation": True},
]
LENGTHS = ("max_model_len", "context_length", "context_window", "meta")
ABLE = ("capabilities", "architecture", "supported_parameters", "max_draft_tokens", "prefix_reuse")
# Peers' fields that come where they have something to say, or were asked for.
BEYOND = ("reasoning_content", "token_ids", "prompt_token_ids", "prompt_logprobs", "debug")


@pytest.fixture(scope="module")
def engine() -> ScriptedEngine:
    return ScriptedEngine(context_size=8192)


@pytest.fixture(scope="module")
def client(engine: ScriptedEngine) -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CARAVAN_RESPONSES_DB", "memory")
        with app_over(engine) as made:
            yield made


@pytest.fixture(autouse=True)
def at_rest(engine: ScriptedEngine) -> Generator[None, None, None]:
    yield
    engine.failure, engine.fail_after, engine.hold_after = None, 0, None


def say(engine: ScriptedEngine, text: str) -> None:
    """Have the model say a text in pieces that end anywhere."""
    engine.script = lambda _request, _index: [text[i : i + 7] for i in range(0, len(text), 7)] or [""]


def chunk_of_openai(chunk: dict[str, Any]) -> dict[str, Any]:
    """A chunk as OpenAI's type would have it, which knows no calls of custom tools in streams."""
    shown = copy.deepcopy(chunk)
    for choice in shown["choices"]:
        for call in choice["delta"].get("tool_calls", ()):
            if "custom" in call:
                custom = call.pop("custom")
                call["function"] = {"arguments": custom.pop("input"), **custom}
                call |= {"type": "function"} if "type" in call else {}
    return shown


def text_of_openai(answer: dict[str, Any], *, echo: bool) -> dict[str, Any]:
    """A text as OpenAI's type would have it, which forgets the null of what an echoed prompt begins with."""
    shown = copy.deepcopy(answer)
    for choice in shown["choices"] if echo else ():
        told = choice["logprobs"]
        if told is not None and told["text_offset"][:1] == [0]:
            assert (told["token_logprobs"][0], told["top_logprobs"][0]) == (None, None)
            told["token_logprobs"][0], told["top_logprobs"][0] = 0.0, {}
    return shown


CHATS: list[tuple[str, dict[str, Any]]] = [
    ("Hello there.", {}),
    ("", {}),
    ("Hello there.", {"n": 3}),
    ("Hello there.", {"max_tokens": 1}),
    ("Hello there.", {"logprobs": True}),
    ("Hello there.", {"logprobs": True, "top_logprobs": 3, "n": 2}),
    ("Hello there.", {"return_token_ids": True, "debug": {"decoding": True}}),
    (f"{THOUGHT}Hello.", {}),
    (f"{THOUGHT}Hello.", {"reasoning_format": "none"}),
    (f"{THOUGHT}{PARIS}", TOOLS),
    (f"I look.\n{PARIS}\n{PARIS}", {**TOOLS, "parallel_tool_calls": True}),
    (f"{PARIS}\n{PARIS}", {**TOOLS, "parallel_tool_calls": False}),
    (PARIS, {**TOOLS, "tool_choice": "required"}),
    (PARIS, {**TOOLS, "tool_choice": NAMED, "logprobs": True, "top_logprobs": 1}),
    (QUERY, TOOLS),
    (PARIS, {**TOOLS, "max_tokens": 8}),
    ("None.", {**TOOLS, "tool_choice": "none"}),
    (PARIS, FUNCTIONS),
]


@pytest.mark.parametrize(("text", "fields"), CHATS, ids=lambda value: str(value)[:50])
def test_a_chat(client: TestClient, engine: ScriptedEngine, text: str, fields: dict[str, Any]) -> None:
    say(engine, text)
    answer = client.post(CHAT, json={**ASKED, **fields})
    assert answer.status_code == 200, answer.text
    check(chat_types.ChatCompletion, answer.json(), beyond=BEYOND)
    for options in OPTIONS:
        streamed = client.post(CHAT, json={**ASKED, **fields, "stream": True, "stream_options": options})
        sent = [json.loads(event) for event in events(streamed.text)[:-1]]
        assert [chunk["choices"][0]["finish_reason"] for chunk in sent if chunk["choices"]][-1]
        for chunk in sent:
            check(chat_types.ChatCompletionChunk, chunk_of_openai(chunk), beyond=BEYOND)
            assert ("usage" in chunk) == ("include_usage" in options)


def test_logprobs_of_the_prompt_come_beside_openais_fields(client: TestClient) -> None:
    answer = client.post(CHAT, json={**ASKED, "prompt_logprobs": 2, "max_tokens": 1}).json()
    check(chat_types.ChatCompletion, answer, beyond=BEYOND)
    assert answer["prompt_logprobs"][0] is None


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("echo", [False, True])
@pytest.mark.parametrize("logprobs", [None, 0, 3])
def test_a_text(
    client: TestClient, engine: ScriptedEngine, *, n: int, echo: bool, logprobs: int | None
) -> None:
    say(engine, "Hello there.")
    body = {"model": "fake", "prompt": ["ab", "c"], "n": n, "echo": echo, "logprobs": logprobs}
    whole = client.post(TEXT, json=body).json()
    check(text_types.Completion, text_of_openai(whole, echo=echo))
    assert "usage" in whole
    texts = [""] * (2 * n)
    for options in OPTIONS:
        streamed = client.post(TEXT, json={**body, "stream": True, "stream_options": options}).text
        for event in map(json.loads, events(streamed)[:-1]):
            for choice in event["choices"]:
                texts[choice["index"]] += choice["text"]
                # The type is that of the whole, in which every choice has ended.
                choice["finish_reason"] = choice["finish_reason"] or "stop"
            check(text_types.Completion, text_of_openai(event, echo=echo), beyond=("obfuscation",))
            assert ("usage" in event) == ("include_usage" in options)
    assert texts == [len(OPTIONS) * choice["text"] for choice in whole["choices"]]


@pytest.mark.parametrize("form", ["float", "base64"])
def test_embeddings(client: TestClient, form: str) -> None:
    body = {"model": "fake", "input": ["ab", "c"], "encoding_format": form}
    answer = client.post("/v1/embeddings", json=body).json()
    for item in answer["data"]:
        if form == "base64":
            # As OpenAI's client does before it makes its type of it.
            item["embedding"] = np.frombuffer(base64.b64decode(item["embedding"]), "<f4").tolist()
    check(text_types.CreateEmbeddingResponse, answer, beyond=("id",))


def test_decisions(client: TestClient) -> None:
    choices, levels = [{"value": "a"}, {"value": True}], [{"label": "low"}, {"label": "high"}]
    questions = [
        {"type": "predicate", "instructions": "x", "name": "one"},
        {"type": "choice", "instructions": "x", "choices": choices, "name": "two"},
        {"type": "score", "instructions": "x", "levels": levels, "name": "three"},
    ]
    answer = client.post("/v1/decisions", json={"input": "Hi", "questions": questions}).json()
    # Beside OpenAI's fields, answers tell how likely their labels are at all.
    assert all(0 <= each.pop("label_mass") <= 1 for each in answer["answers"])
    check(text_types.Decision, answer)


def test_models(client: TestClient) -> None:
    listed = client.get("/v1/models").json()
    assert listed["object"] == "list"
    for card in (*listed["data"], client.get("/v1/models/fake").json()):
        check(
            text_types.Model,
            card,
            beyond=(
                "status",
                "root",
                "parent",
                "defaults",
                "presets",
                "chat_template",
                "file",
                *LENGTHS,
                *ABLE,
            ),
        )


def test_errors(client: TestClient, engine: ScriptedEngine) -> None:
    engine.failure = EngineFailedError("It is gone.")
    failed = [
        client.post(CHAT, json={**ASKED, "temperature": 900}),
        client.post(CHAT, content=b"{"),
        client.post(TEXT, json={"model": "none", "prompt": "x"}),
        client.post(RESPONSES, json={"model": "fake", "input": "x", "n": 2}),
        client.post(CHAT, json=ASKED),
        client.get("/v1/models/none"),
        client.get(f"{RESPONSES}/none"),
        client.get("/nowhere"),
        client.put(CHAT),
    ]
    assert [answer.status_code for answer in failed] == [400, 400, 404, 400, 500, 404, 404, 404, 405]
    for answer in failed:
        assert set(answer.json()) == {"error"}
        check(text_types.ErrorObject, answer.json()["error"])


def test_an_error_in_a_stream(client: TestClient, engine: ScriptedEngine) -> None:
    say(engine, "Hello there.")
    engine.failure, engine.fail_after = EngineFailedError("It is gone."), 1
    for path, body in ((CHAT, ASKED), (TEXT, {"model": "fake", "prompt": "x"})):
        last = json.loads(events(client.post(path, json={**body, "stream": True}).text)[-1])
        assert set(last) == {"error"}
        check(text_types.ErrorObject, last["error"])


FLAT: list[dict[str, Any]] = [
    {"type": "function", "name": "get_weather", "parameters": {"type": "object", "properties": {}}},
    {"type": "custom", "name": "sql"},
]
SPACE = {"type": "namespace", "name": "home", "description": "Of the house.", "tools": FLAT}
SCHEMA = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
RESPONSE_FIELDS: list[tuple[str, dict[str, Any]]] = [
    ("Hello there.", {}),
    ("", {}),
    ("Hello there.", {"include": ["message.output_text.logprobs"], "top_logprobs": 2}),
    ("Hello there.", {"max_output_tokens": 1}),
    ("Hello there.", {"instructions": "Be brief.", "reasoning": {"effort": "low"}, "metadata": {"a": "b"}}),
    (f"{THOUGHT}Hello.", {}),
    (f"{THOUGHT}I look.\n{PARIS}\n{QUERY}", {"tools": FLAT}),
    (f"{THOUGHT}{PARIS}", {"tools": FLAT, "max_output_tokens": 8}),
    (PARIS, {"tools": FLAT, "tool_choice": "required", "parallel_tool_calls": False}),
    (PARIS, {"tools": FLAT, "tool_choice": {"type": "function", "name": "get_weather"}}),
    (
        f"{THOUGHT}{PARIS.replace('get_', 'home__get_')}",
        {"tools": [SPACE], "reasoning": {"summary": "concise"}, "truncation": "auto"},
    ),
    ("{}", {"text": {"format": {"type": "json_object"}}}),
    ("{}", {"text": {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA}}}),
]


@pytest.mark.parametrize(("text", "fields"), RESPONSE_FIELDS, ids=lambda value: str(value)[:50])
def test_a_response(client: TestClient, engine: ScriptedEngine, text: str, fields: dict[str, Any]) -> None:
    """`ask` and `stream` hold what they get against OpenAI's types."""
    say(engine, text)
    whole = ask(client, **fields)
    assert client.get(f"{RESPONSES}/{whole['id']}").json() == whole
    stream(client, **fields)
    stream(client, **fields, stream_options={"include_obfuscation": True})


def test_every_kind_of_event_that_is_sent(client: TestClient, engine: ScriptedEngine) -> None:
    say(engine, f"{THOUGHT}I look.\n{PARIS}\n{QUERY}")
    sent = [
        *stream(client, tools=FLAT, background=True, reasoning={"summary": "detailed"}),
        *stream(client, max_output_tokens=2),
    ]
    engine.failure, engine.fail_after = EngineFailedError("It is gone."), 2
    sent += stream(client)
    engine.failure, engine.hold_after = None, 1
    sent += cancelled(client, engine)
    kinds = {kind for event in get_args(Event) for kind in get_args(event.model_fields["type"].annotation)}
    assert {event["type"] for event in sent} == kinds
    endings = {event["response"]["status"] for event in sent if "response" in event}
    assert endings == {"queued", "in_progress", "completed", "incomplete", "failed"}


def cancelled(client: TestClient, engine: ScriptedEngine) -> list[dict[str, Any]]:
    """The events of a response that was cancelled in the background."""
    found: list[list[dict[str, Any]]] = []
    reading = threading.Thread(target=lambda: found.append(stream(client, background=True)))
    reading.start()
    wait_until(lambda: bool(engine.running))
    made = next(iter(engine.running))
    answer = client.post(f"{RESPONSES}/{made}/cancel").json()
    check(response_types.Response, answer)
    assert answer["status"] == "cancelled"
    reading.join(timeout=PATIENCE)
    return found[0]


def test_the_items_of_an_input_and_what_is_left_of_a_deleted_response(
    client: TestClient, engine: ScriptedEngine
) -> None:
    say(engine, f"{THOUGHT}I look.\n{PARIS}\n{QUERY}")
    first = ask(client, tools=FLAT)
    results = [
        {"type": f"{item['type']}_output", "call_id": item["call_id"], "output": "x"}
        for item in first["output"]
        if "call_id" in item
    ]
    second = ask(client, input=[{"role": "user", "content": "Hi"}, *first["output"], *results], tools=FLAT)
    listed = client.get(f"{RESPONSES}/{second['id']}/input_items").json()
    check(ResponseItemList, listed)
    assert [item["type"] for item in reversed(listed["data"])] == [
        *("message", "reasoning", "message", "function_call", "custom_tool_call"),
        *("function_call_output", "custom_tool_call_output"),
    ]
    assert client.get(f"{RESPONSES}/{second['id']}/input_items", params={"limit": 2}).json()["has_more"]
    url = f"{RESPONSES}/{second['id']}"
    assert client.delete(url).json() == {"id": second["id"], "object": "response", "deleted": True}


def test_the_check_finds_what_is_missing_what_is_null_and_what_is_too_much(
    client: TestClient, engine: ScriptedEngine
) -> None:
    say(engine, "Hello.")
    answer = client.post(CHAT, json=ASKED).json()
    del answer["choices"][0]["message"]["annotations"]
    answer |= {"system_fingerprint": None, "colour": "red"}
    read = chat_types.ChatCompletion.model_validate(answer, strict=True)
    assert list(faults(read, answer)) == [
        ".choices[0].message.annotations of chat_completion_message.ChatCompletionMessage is missing",
        ".system_fingerprint of chat_completion.ChatCompletion is null",
        ".colour is not chat_completion.ChatCompletion's",
    ]
    event = stream(client)[-1]
    event["response"]["output"][0]["content"][0]["logprobs"] = None
    with pytest.raises(AssertionError, match=r"content\[0\]\.logprobs of .* is null"):
        checked_event(event)
