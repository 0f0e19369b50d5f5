"""Decisions as clients see them, over an engine whose probabilities are a function of the tokens."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
from caravan_schemas.decisions import Decision
from fastapi.testclient import TestClient
from openai.types import Decision as OpenAIDecision

from tests.fakes_web import SPECIALS, ScriptedEngine
from tests.waiting import wait_until
from tests.web.uvicorn.raw import connection, head

Json = dict[str, Any]
URL = "/v1/decisions"
END = SPECIALS["<|im_end|>"]
STATEMENT = {"type": "predicate", "name": "s", "instructions": "It is cold."}
COLOURS = {"type": "choice", "instructions": "Which?", "choices": [{"value": "red"}, {"value": "re"}]}
MOODS = {
    "type": "score",
    "name": None,
    "instructions": "How?",
    "levels": [{"label": "bad"}, {"label": "good"}],
}


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(context_size=4096)


def ask(client: TestClient, *questions: Json, **fields: object) -> Json:
    """A good answer, which is OpenAI's too."""
    response = client.post(URL, json={"model": "fake", "input": "Hi", "questions": questions, **fields})
    assert response.status_code == 200, response.text
    answer: Json = response.json()
    Decision.model_validate(answer)
    OpenAIDecision.model_validate(answer, strict=True)
    return answer


def refused(client: TestClient, body: Json) -> tuple[str, str]:
    answer = client.post(URL, json={"model": "fake", "input": "Hi", "questions": [STATEMENT]} | body)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    return error["param"], error["code"]


def weigh(engine: ScriptedEngine, weights: dict[str, float], missing: float = 1e-9) -> None:
    """Have the model answer with these texts, each as likely as that."""

    def probe(before: tuple[int, ...], token_id: int) -> float:
        begun = text_of(before).rpartition("assistant\n")[2]
        left = {text: weight for text, weight in weights.items() if text.startswith(begun)}
        wanted = [w for text, w in left.items() if text == begun and token_id == END]
        wanted += [w for text, w in left.items() if token_id < 256 and text.startswith(begun + chr(token_id))]
        return math.log(max(sum(wanted) / (sum(left.values()) or 1), missing))

    engine.probe = probe


def text_of(token_ids: Sequence[int]) -> str:
    words = {token_id: word for word, token_id in SPECIALS.items()}
    return "".join(words.get(token_id, chr(token_id)) for token_id in token_ids)


def test_the_answer_is_openais(client: TestClient, engine: ScriptedEngine) -> None:
    weigh(engine, {"Yes": 0.3, "No": 0.1, "red": 0.05, "re": 0.15, "bad": 0.1, "good": 0.3})
    answer = ask(client, STATEMENT, COLOURS, MOODS)
    assert list(answer) == ["model", "answers", "usage"]
    first, second, third = answer["answers"]
    assert first == {
        "type": "predicate",
        "name": "s",
        "probability": pytest.approx(0.75),
        "label_mass": pytest.approx(0.4),
    }
    assert second == {
        "type": "choice",
        "name": None,
        "choice": "re",
        "confidence": pytest.approx(0.75),
        "probabilities": [
            {"value": "red", "probability": pytest.approx(0.25)},
            {"value": "re", "probability": pytest.approx(0.75)},
        ],
        "label_mass": pytest.approx(0.2),
    }
    assert third == {
        "type": "score",
        "name": None,
        "score": pytest.approx(0.75),
        "confidence": pytest.approx(0.75),
        "probabilities": [
            {"value": 0, "label": "bad", "probability": pytest.approx(0.25)},
            {"value": 1, "label": "good", "probability": pytest.approx(0.75)},
        ],
        "label_mass": pytest.approx(0.4),
    }


def test_usage_counts_the_input_once(client: TestClient, engine: ScriptedEngine) -> None:
    one = ask(client, STATEMENT, input="x" * 500)["usage"]
    two = ask(client, STATEMENT, COLOURS, input="x" * 500)["usage"]
    assert one["input_tokens"] > 500
    assert two["input_tokens"] - one["input_tokens"] < 250
    assert (one["output_tokens"], two["output_tokens"]) == (len("YesNo"), len("YesNo") + len("red"))
    details = one["input_tokens_details"]
    assert details["cached_tokens"] + details["cache_write_tokens"] == one["input_tokens"]
    assert one["output_tokens_details"] == {"reasoning_tokens": 0}
    assert one["total_tokens"] == one["input_tokens"] + one["output_tokens"]
    # A label that is the beginning of another is scored on the way to it.
    prompts = [text_of(request.token_ids).rpartition("assistant\n")[2] for request in engine.requests]
    assert sorted(prompts) == ["No", "No", "Yes", "Yes", "red"]


def test_the_question_follows_what_it_is_about(client: TestClient, engine: ScriptedEngine) -> None:
    choices = [{"value": "red", "description": "like blood"}, {"value": True}, {"value": "true"}]
    parts = [{"type": "input_text", "text": "Which of"}, {"type": "input_json", "data": {"a": [1, None]}}]
    ask(client, {"type": "choice", "instructions": parts, "choices": choices})
    prompts = {text_of(request.token_ids) for request in engine.requests}
    stem = (
        '<|im_start|>user\nHi\n\nWhich of\n{"a":[1,null]}\n\nThe possible answers:\n'
        '- "red": like blood\n- true\n- "true"\n\n'
        "Answer with one of them alone, exactly as it is written.<|im_end|>\n<|im_start|>assistant\n"
    )
    assert prompts == {stem + label for label in ('"red"', '"true"', "true")}


def test_a_conversation_is_asked_about_in_a_turn_apart(client: TestClient, engine: ScriptedEngine) -> None:
    ask(
        client,
        STATEMENT,
        input=[
            {"role": "developer", "content": "Be fair."},
            {
                "role": "user",
                "content": [
                    {"type": "input_json", "data": [{"a": 1}]},
                    {"type": "input_text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}},
                ],
            },
            {"role": "assistant", "content": [{"type": "output_text", "text": "Yes?"}], "phase": None},
        ],
        prompt_cache_key="k",
        prompt_cache_options={"ttl": "30m"},
        safety_identifier="me",
    )
    text = text_of(engine.requests[0].token_ids)
    assert '[{"a":1}]\nx<|im_end|>' in text
    assert "assistant\nYes?<|im_end|>\n<|im_start|>user\nIt is cold." in text


def test_the_prior_is_of_the_question_alone(client: TestClient, engine: ScriptedEngine) -> None:
    def probe(before: tuple[int, ...], token_id: int) -> float:
        ended = {"Y": 0.8, "N": 0.2} if "Hello" in text_of(before) else {"Y": 0.9, "N": 0.1}
        return math.log(ended.get(chr(token_id), 1.0))

    engine.probe = probe
    (plain,) = ask(client, STATEMENT, input="Hello")["answers"]
    (prior,) = ask(client, STATEMENT, input="Hello", normalization="prior")["answers"]
    assert plain["probability"] == pytest.approx(0.8)
    assert prior["probability"] == pytest.approx((0.8 / 0.9) / (0.8 / 0.9 + 0.2 / 0.1))
    assert prior["label_mass"] == plain["label_mass"]


def test_as_many_as_openai_allows(client: TestClient, engine: ScriptedEngine) -> None:
    choices = [{"value": f"{number:03}"} for number in range(255)]
    (answer,) = ask(client, {"type": "choice", "instructions": "Which?", "choices": choices})["answers"]
    assert sum(each["probability"] for each in answer["probabilities"]) == pytest.approx(1)
    assert len(ask(client, *[STATEMENT] * 400)["answers"]) == 400
    assert not engine.running


@pytest.mark.parametrize(
    ("question", "param"),
    [
        (COLOURS | {"choices": [{"value": "a"}] * 2}, "questions[0].choices"),
        (COLOURS | {"choices": [{"value": True}] * 2}, "questions[0].choices"),
        (COLOURS | {"choices": [{"value": "a"}]}, "questions[0].choices"),
        (COLOURS | {"choices": [{"value": str(n)} for n in range(256)]}, "questions[0].choices"),
        (COLOURS | {"choices": [{"value": 1}, {"value": "a"}]}, "questions[0].choices[0].value"),
        (COLOURS | {"choices": [{"value": ""}, {"value": "a"}]}, "questions[0].choices[0].value"),
        (MOODS | {"levels": [{"label": "a"}] * 2}, "questions[0].levels"),
        (MOODS | {"levels": [{"label": str(n)} for n in range(11)]}, "questions[0].levels"),
        (MOODS | {"type": "rank"}, "questions[0]"),
        ({"type": "predicate"}, "questions[0].instructions"),
        (
            STATEMENT | {"instructions": [{"type": "input_json", "data": {"a": [1] * 10_001}}]},
            "questions[0].instructions[0].data",
        ),
    ],
)
def test_questions_that_cannot_be_asked(client: TestClient, question: Json, param: str) -> None:
    assert refused(client, {"questions": [question]})[0] == param


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"questions": []}, "questions", "invalid_value"),
        ({"questions": [STATEMENT] * 401}, "questions", "invalid_value"),
        ({"input": []}, "input", "invalid_value"),
        ({"input": 1}, "input", "invalid_type"),
        ({"input": "x" * 4096}, "input", "context_length_exceeded"),
        ({"normalization": "softmax"}, "normalization", "invalid_value"),
        ({"temperature": 1}, "temperature", "unknown_parameter"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:x"}]}]},
            "input[0].content[0]",
            "unsupported_parameter",
        ),
        (
            {"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]},
            "input[0]",
            "invalid_value",
        ),
    ],
)
def test_requests_that_cannot_be_answered(client: TestClient, body: Json, param: str, code: str) -> None:
    assert refused(client, body) == (param, code)


def test_a_client_that_leaves_ends_its_work(live: str, engine: ScriptedEngine) -> None:
    engine.hold_after = 0
    with connection(live) as opened:
        body = b'{"input": "x", "questions": [{"type": "predicate", "instructions": "y"}]}'
        opened.sendall(head(URL, f"content-length: {len(body)}") + body)
        wait_until(lambda: bool(engine.running))
    wait_until(lambda: not engine.running)
    assert engine.aborted


def test_a_failure_of_one_label_is_that_of_the_request(client: TestClient, engine: ScriptedEngine) -> None:
    def probe(before: tuple[int, ...], _token_id: int) -> float:
        if text_of(before).endswith("No"):
            raise RuntimeError
        return -1.0

    engine.probe = probe
    answer = client.post(URL, json={"input": "x", "questions": [STATEMENT]})
    assert answer.status_code == 500
    assert not engine.running
