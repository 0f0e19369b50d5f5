"""Text completions as clients see them."""

import json
from typing import Any

import openai.types as openai_types
import pytest
from caravan.engine.params import GenerationRequest
from caravan_schemas.completions import Completion
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine
from tests.web.routes.test_chat import DIFFICULT, events

URL = "/v1/completions"


def body(**fields: object) -> dict[str, object]:
    """A valid request with `fields` added or replaced."""
    return {"model": "fake", "prompt": "Hi", **fields}


def name_choice(request: GenerationRequest, index: int) -> list[str]:
    """A text that tells which prompt and which choice it belongs to."""
    return [bytes(request.token_ids).decode(), ":", str(index)]


def test_whole_answer_has_openais_fields(client: TestClient, engine: ScriptedEngine) -> None:
    engine.script = lambda _request, _index: ["Hel", "lo"]
    answer = client.post(URL, json=body()).json()
    Completion.model_validate(answer)
    openai_types.Completion.model_validate(answer, strict=True)
    assert answer.pop("id").startswith("cmpl-")
    assert isinstance(answer.pop("created"), int)
    assert answer.pop("system_fingerprint").startswith("fp_")
    assert answer == {
        "object": "text_completion",
        "model": "fake",
        "choices": [{"index": 0, "text": "Hello", "logprobs": None, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": 2,
            "completion_tokens": 2,
            "total_tokens": 4,
            "prompt_tokens_details": {"cached_tokens": 1, "audio_tokens": 0, "image_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
    }


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [
        ("ab", ["ab"]),
        ([97, 98], ["ab"]),
        (["ab", "c"], ["ab", "c"]),
        ([[97, 98], [99]], ["ab", "c"]),
    ],
    ids=["text", "ids", "texts", "arrays of ids"],
)
def test_every_form_of_prompt(
    client: TestClient, engine: ScriptedEngine, prompt: object, texts: list[str]
) -> None:
    engine.script = name_choice
    answer = client.post(URL, json=body(prompt=prompt, n=2)).json()
    assert [(choice["index"], choice["text"]) for choice in answer["choices"]] == [
        (prompt_index * 2 + k, f"{text}:{k}") for prompt_index, text in enumerate(texts) for k in range(2)
    ]
    usage = answer["usage"]
    assert usage["prompt_tokens"] == sum(map(len, texts)), "a prompt counts once, not once per choice"
    assert usage["completion_tokens"] == 3 * 2 * len(texts)
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == sum(len(text) // 2 for text in texts)


@pytest.mark.parametrize("prompt", ["ab", ["ab", "c", "def"]])
@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("max_tokens", [1, 100])
def test_stream_folds_into_the_plain_answer(
    client: TestClient, engine: ScriptedEngine, prompt: object, n: int, max_tokens: int
) -> None:
    engine.script = lambda request, index: [*name_choice(request, index), *DIFFICULT]
    fields = body(prompt=prompt, n=n, max_tokens=max_tokens)
    whole = client.post(URL, json=fields).json()
    data = events(
        client.post(URL, json={**fields, "stream": True, "stream_options": {"include_usage": True}}).text
    )
    assert data[-1] == "[DONE]"
    folded: list[dict[str, Any]] = [{"text": "", "finish_reason": None} for _ in whole["choices"]]
    for event in data[:-1]:
        for choice in Completion.model_validate_json(event).choices:
            state = folded[choice.index]
            assert state["finish_reason"] is None
            state["text"] += choice.text
            state["finish_reason"] = choice.finish_reason
    assert folded == [
        {"text": choice["text"], "finish_reason": choice["finish_reason"]} for choice in whole["choices"]
    ]
    assert [json.loads(event)["usage"] for event in data[:-2]] == [None] * (len(data) - 2)
    assert json.loads(data[-2])["usage"] == whole["usage"]


def test_sixteen_tokens_unless_asked_otherwise(client: TestClient, engine: ScriptedEngine) -> None:
    client.post(URL, json=body())
    client.post(URL, json=body(max_tokens=5))
    client.post(URL, json=body(max_completion_tokens=6))
    assert [request.params.max_tokens for request in engine.requests] == [16, 5, 6]


@pytest.mark.parametrize("length", [512, 600])
def test_a_prompt_that_fills_the_context_is_refused_with_both_numbers(
    client: TestClient, engine: ScriptedEngine, length: int
) -> None:
    for prompt in ("x" * length, [1] * length, ["x" * length], [[1] * length]):
        error = client.post(URL, json=body(prompt=prompt)).json()["error"]
        assert error["code"] == "context_length_exceeded"
        assert error["param"] == ("prompt" if prompt[0] in ("x", 1) else "prompt[0]")
        assert "512" in error["message"]
        assert str(length) in error["message"]
    assert not engine.requests


def test_the_longest_prompt_that_fits_is_taken(client: TestClient) -> None:
    assert client.post(URL, json=body(prompt="x" * 511)).status_code == 200


def test_a_prompt_far_too_long_is_refused_before_it_is_tokenized(client: TestClient) -> None:
    error = client.post(URL, json=body(prompt="x" * 500_000)).json()["error"]
    assert error["code"] == "context_length_exceeded"
    assert "at least" in error["message"]
