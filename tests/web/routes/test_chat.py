"""Chat completions as clients see them."""

import json
from typing import Any

import openai.types.chat as openai_chat
import pytest
from caravan_schemas.chat import ChatCompletion, ChatCompletionChunk
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine

URL = "/v1/chat/completions"
# What a tokenizer may hand out piece by piece: quotes, controls, line breaks of all kinds, many scripts.
DIFFICULT = ['"quoted\\', "\n\r\t", "\x00\x7f", "\u0085\u2028\u2029", "é中文", "👩‍👩‍👧", "", "</s> end"]


def body(**fields: object) -> dict[str, Any]:
    """A valid request with `fields` added or replaced."""
    return {"model": "fake", "messages": [{"role": "user", "content": "Hi"}], **fields}


def events(text: str) -> list[str]:
    """The data of each event of a finished stream; everything else in it must be a comment."""
    lines = text.replace("\r\n", "\n").split("\n")
    assert all(line == "" or line.startswith((":", "data: ")) for line in lines)
    return [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]


def chunks(text: str) -> list[dict[str, Any]]:
    """The chunks of a stream that ended well, each checked against our schema and OpenAI's own types."""
    data = events(text)
    assert data[-1] == "[DONE]"
    parsed: list[dict[str, Any]] = [json.loads(event) for event in data[:-1]]
    for event in data[:-1]:
        ChatCompletionChunk.model_validate_json(event)
        openai_chat.ChatCompletionChunk.model_validate_json(event, strict=True)
    return parsed


def test_whole_answer_has_openais_fields(client: TestClient, engine: ScriptedEngine) -> None:
    engine.script = lambda _request, _index: ["Hel", "lo"]
    answer = client.post(URL, json=body()).json()
    ChatCompletion.model_validate(answer)
    openai_chat.ChatCompletion.model_validate(answer, strict=True)
    prompt_tokens = len(engine.requests[0].token_ids)
    assert answer.pop("id").startswith("chatcmpl-")
    assert isinstance(answer.pop("created"), int)
    assert answer.pop("system_fingerprint").startswith("fp_")
    assert answer == {
        "object": "chat.completion",
        "model": "fake",
        "service_tier": "default",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Hello",
                    "refusal": None,
                    "annotations": [],
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": 2,
            "total_tokens": prompt_tokens + 2,
            "prompt_tokens_details": {
                "cached_tokens": prompt_tokens // 2,
                "audio_tokens": 0,
                "image_tokens": 0,
            },
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
    }


def test_stream_is_role_then_text_then_reason_then_usage_then_done(
    client: TestClient, engine: ScriptedEngine
) -> None:
    engine.script = lambda _request, _index: ["Hel", "lo"]
    response = client.post(URL, json=body(stream=True, stream_options={"include_usage": True}))
    assert response.headers["content-type"].startswith("text/event-stream")
    sent = chunks(response.text)
    assert [chunk["choices"] for chunk in sent] == [
        [
            {
                "index": 0,
                "delta": {"role": "assistant", "content": "", "refusal": None},
                "logprobs": None,
                "finish_reason": None,
            }
        ],
        [{"index": 0, "delta": {"content": "Hel"}, "logprobs": None, "finish_reason": None}],
        [{"index": 0, "delta": {"content": "lo"}, "logprobs": None, "finish_reason": None}],
        [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}],
        [],
    ]
    assert [chunk["usage"] for chunk in sent[:-1]] == [None] * 4
    assert sent[-1]["usage"]["completion_tokens"] == 2
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in sent}) == 1


def test_usage_may_be_told_with_every_chunk(client: TestClient, engine: ScriptedEngine) -> None:
    engine.script = lambda _request, _index: ['Say "usage":null', " or not"]
    options = {"include_usage": True, "continuous_usage_stats": True}
    for fields in ({}, {"logprobs": True}):
        sent = chunks(client.post(URL, json=body(stream=True, stream_options=options, **fields)).text)
        told = [chunk["usage"]["completion_tokens"] for chunk in sent]
        assert told == [0, 1, 2, 2, 2]
        assert len({chunk["usage"]["prompt_tokens"] for chunk in sent}) == 1
        text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in sent[:-1])
        assert text == 'Say "usage":null or not'
    alone = client.post(URL, json=body(stream=True, stream_options={"continuous_usage_stats": True}))
    assert alone.status_code == 400
    assert alone.json()["error"]["param"] == "stream_options.continuous_usage_stats"


def test_usage_is_not_mentioned_in_a_stream_that_did_not_ask(client: TestClient) -> None:
    sent = chunks(client.post(URL, json=body(stream=True)).text)
    assert all("usage" not in chunk for chunk in sent)
    assert all(chunk["choices"] for chunk in sent)


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("max_tokens", [None, 1, 5])
def test_stream_folds_into_the_plain_answer(
    client: TestClient, engine: ScriptedEngine, n: int, max_tokens: int | None
) -> None:
    engine.script = lambda _request, index: [*DIFFICULT[index:], *DIFFICULT[:index]]
    fields = body(n=n, max_tokens=max_tokens)
    whole = client.post(URL, json=fields).json()
    streamed = {**fields, "stream": True, "stream_options": {"include_usage": True}}
    sent = chunks(client.post(URL, json=streamed).text)

    folded = [{"content": "", "finish_reason": None} for _ in range(n)]
    for chunk in sent:
        for choice in chunk["choices"]:
            state = folded[choice["index"]]
            assert state["finish_reason"] is None, "nothing follows a finish reason"
            state["content"] += choice["delta"].get("content", "")
            state["finish_reason"] = choice["finish_reason"]
    assert folded == [
        {"content": choice["message"]["content"], "finish_reason": choice["finish_reason"]}
        for choice in whole["choices"]
    ]
    assert sent[-1]["usage"] == whole["usage"]
    assert whole["usage"]["completion_tokens"] == n * min(len(DIFFICULT), max_tokens or len(DIFFICULT))


def test_no_event_can_be_torn_by_a_reader_that_splits_lines_as_unicode_does(
    client: TestClient, engine: ScriptedEngine
) -> None:
    engine.script = lambda _request, _index: DIFFICULT
    text = client.post(URL, json=body(stream=True)).text
    assert text.splitlines() == text.split("\n")[:-1]


def test_fields_reach_the_engine(client: TestClient, engine: ScriptedEngine) -> None:
    fields = body(
        temperature=0.5, top_p=0.25, top_k=7, min_p=0.125, seed=-3, stop=["a", "b", "a"], n=2, max_tokens=9
    )
    assert client.post(URL, json=fields).status_code == 200
    request = engine.requests[0]
    params = request.params
    assert (params.temperature, params.top_p, params.top_k, params.min_p) == (0.5, 0.25, 7, 0.125)
    assert (params.seed, params.stop, params.max_tokens, request.n) == (-3, ("a", "b"), 9, 2)


def test_absent_and_null_fields_take_the_engines_defaults(client: TestClient, engine: ScriptedEngine) -> None:
    nulls = dict.fromkeys(
        ["temperature", "top_p", "top_k", "min_p", "seed", "stop", "n", "max_tokens", "stream", "user"]
    )
    client.post(URL, json=body())
    client.post(URL, json=body(**nulls, max_completion_tokens=None, stream_options=None))
    bare, null = engine.requests
    assert bare.params == null.params == type(bare.params)()


@pytest.mark.parametrize("seed", [0, 2**63 - 1, -(2**63)])
def test_every_seed_of_64_bits_is_a_seed(client: TestClient, engine: ScriptedEngine, seed: int) -> None:
    assert client.post(URL, json=body(seed=seed)).status_code == 200
    assert engine.requests[0].params.seed == seed


def test_both_names_of_the_token_limit(client: TestClient, engine: ScriptedEngine) -> None:
    assert client.post(URL, json=body(max_completion_tokens=3)).status_code == 200
    assert client.post(URL, json=body(max_completion_tokens=4, max_tokens=4)).status_code == 200
    assert [request.params.max_tokens for request in engine.requests] == [3, 4]
    error = client.post(URL, json=body(max_completion_tokens=4, max_tokens=5)).json()["error"]
    assert "'max_tokens'" in error["message"]
    assert "'max_completion_tokens'" in error["message"]


def test_an_alias_is_answered_under_the_name_that_was_asked(client: TestClient) -> None:
    assert client.post(URL, json=body(model="org/other-name")).json()["model"] == "org/other-name"


def test_a_replayed_answer_of_openai_is_taken_with_its_nulls(client: TestClient) -> None:
    replayed: dict[str, object] = {
        "role": "assistant",
        "content": "Hello",
        "refusal": None,
        "annotations": [],
        "audio": None,
        "function_call": None,
        "tool_calls": None,
    }
    messages = [{"role": "user", "content": "Hi"}, replayed, {"role": "user", "content": "Again"}]
    assert client.post(URL, json=body(messages=messages)).status_code == 200


def test_text_parts_are_joined(client: TestClient, engine: ScriptedEngine) -> None:
    parts = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    client.post(URL, json=body(messages=[{"role": "user", "content": parts}]))
    client.post(URL, json=body(messages=[{"role": "user", "content": "one two"}]))
    assert engine.requests[0].token_ids == engine.requests[1].token_ids
