"""Tokenizing, its inverse, and the template, as clients of vLLM and of llama.cpp see them."""

import dataclasses

import pytest
from caravan.api import tokenize as token_answer_module
from caravan.api import tokenize as tokens_module
from caravan.config.settings import Settings
from caravan.web.app import create_app
from caravan_schemas.tokenize import ApplyTemplateResponse, DetokenizeResponse, TokenizeResponse
from fastapi.testclient import TestClient

from tests.fakes_web import BOS_ID, FakeVocab, ScriptedEngine, loaded_model, registry_over
from tests.web.chat_models import HERMES, WEATHER, app_over

MESSAGES = [{"role": "user", "content": "Hi"}]


def tokens(client: TestClient, **body: object) -> dict[str, object]:
    """A good answer of the tokenizer."""
    response = client.post("/tokenize", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, object] = response.json()
    TokenizeResponse.model_validate(answer)
    return answer


def fault(client: TestClient, path: str, **body: object) -> tuple[int, str | None, str]:
    """Status, field and message of a refusal."""
    response = client.post(path, json=body)
    error = response.json()["error"]
    return response.status_code, error["param"], error["message"]


@pytest.mark.parametrize("path", ["/tokenize", "/v1/tokenize"])
@pytest.mark.parametrize("named", [{}, {"model": "fake"}, {"model": "org/other-name"}])
def test_a_text_is_counted(client: TestClient, path: str, named: dict[str, str]) -> None:
    answer = client.post(path, json={"prompt": "Hi", **named}).json()
    assert answer == {"tokens": [72, 105], "count": 2, "max_model_len": 512}


def test_texts_longer_than_the_context_are_counted_too(client: TestClient) -> None:
    assert tokens(client, prompt="x" * 2000)["count"] == 2000


def test_long_answers_come_in_pieces(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tokens(client, prompt="é €" * 300, with_pieces=True, return_token_bytes=True)
    monkeypatch.setattr(tokens_module, "_PART_BYTES", 100)
    monkeypatch.setattr(token_answer_module, "_AT_ONCE", 7)
    assert tokens(client, prompt="é €" * 300, with_pieces=True, return_token_bytes=True) == whole
    body = {"prompt": "x" * 500}
    with client.stream("POST", "/tokenize", json=body) as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        assert "content-length" not in response.headers
        assert len(response.read()) > 1000
    monkeypatch.setattr(tokens_module, "_PART_BYTES", 10_000)
    assert "content-length" in client.post("/tokenize", json=body).headers


def test_a_document_of_any_size_has_its_length(client: TestClient) -> None:
    for size in (100, 300_000, 2 * 262_144):
        response = client.post(
            "/apply-template", json={"messages": [{"role": "user", "content": "x" * size}]}
        )
        assert response.json()["prompt"].count("x") == size
        assert int(response.headers["content-length"]) == len(response.content)


def test_a_text_that_tokens_stand_for_is_bounded(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens_module, "_MAX_TEXT_BYTES", 10)
    assert client.post("/detokenize", json={"tokens": [97] * 10}).status_code == 200
    status, param, message = fault(client, "/detokenize", tokens=[97] * 11)
    assert (status, param) == (400, "tokens")
    assert "at most 10 bytes" in message


def test_bos_comes_as_each_spelling_has_it() -> None:
    registry = registry_over(loaded_model(ScriptedEngine(), vocab=FakeVocab(with_bos=True), bos_text="<s>"))
    with TestClient(create_app(Settings(), registry), base_url="http://localhost") as client:
        assert client.portal is not None
        client.portal.call(registry.start)
        assert tokens(client, prompt="a")["tokens"] == [BOS_ID, 97]
        assert tokens(client, prompt="<s>a")["tokens"] == [BOS_ID, 97]
        assert tokens(client, content="a")["tokens"] == [97]
        assert tokens(client, content="a", add_special=True)["tokens"] == [BOS_ID, 97]
        assert tokens(client, prompt="a", add_special_tokens=False)["tokens"] == [97]
        with_bos = tokens(client, messages=MESSAGES)["tokens"]
        without = tokens(client, messages=MESSAGES, add_special_tokens=False)["tokens"]
        assert isinstance(without, list)
        assert with_bos == [BOS_ID, *without]


def test_control_tokens_can_be_plain_text(client: TestClient) -> None:
    assert tokens(client, content="<|im_end|>")["count"] == 1
    assert tokens(client, content="<|im_end|>", parse_special=False)["count"] == 10


def test_pieces_are_text_or_bytes(client: TestClient) -> None:
    assert tokens(client, content="é<|im_end|>", with_pieces=True)["tokens"] == [
        {"id": 0xC3, "piece": [0xC3]},
        {"id": 0xA9, "piece": [0xA9]},
        {"id": 258, "piece": "<|im_end|>"},
    ]
    answer = tokens(client, content="aé", return_token_strs=True, return_token_bytes=True)
    assert answer["tokens"] == [97, 0xC3, 0xA9]
    assert answer["token_strs"] == ["a", "\ufffd", "\ufffd"]
    assert answer["token_bytes"] == [[97], [0xC3], [0xA9]]


def test_messages_are_what_a_chat_begins_with(client: TestClient, engine: ScriptedEngine) -> None:
    client.post("/v1/chat/completions", json={"model": "fake", "messages": MESSAGES})
    assert tokens(client, messages=MESSAGES)["tokens"] == list(engine.requests[0].token_ids)
    prompt = client.post("/apply-template", json={"messages": MESSAGES}).json()["prompt"]
    assert tokens(client, prompt=prompt) == tokens(client, messages=MESSAGES)


def test_the_template_gets_tools_and_variables() -> None:
    with app_over(ScriptedEngine(), HERMES) as client:
        ask = {"messages": MESSAGES, "tools": [WEATHER], "chat_template_kwargs": {"enable_thinking": False}}
        answer = client.post("/apply-template", json=ask).json()
        ApplyTemplateResponse.model_validate(answer)
        assert "get_weather" in answer["prompt"]
        assert answer["prompt"].endswith("<|im_start|>assistant\n<think></think>")
        assert tokens(client, **ask) == tokens(client, prompt=answer["prompt"])
        without = client.post("/v1/apply-template", json={**ask, "add_generation_prompt": False}).json()
        assert without["prompt"].endswith("<|im_end|>\n")
        assert fault(client, "/apply-template", messages=MESSAGES, chat_template_kwargs={"x": 1})[:2] == (
            400,
            "chat_template_kwargs.x",
        )


@pytest.mark.parametrize("path", ["/detokenize", "/v1/detokenize"])
def test_tokens_become_text_again(client: TestClient, path: str) -> None:
    text = "naïve <|im_end|> 🎉"
    ids = tokens(client, prompt=text)["tokens"]
    answer = client.post(path, json={"tokens": ids}).json()
    DetokenizeResponse.model_validate(answer)
    assert answer == {"prompt": text, "content": text}
    assert client.post(path, json={"tokens": []}).json()["content"] == ""
    assert client.post(path, json={"tokens": [0xC3]}).json()["content"] == "\ufffd"


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/tokenize", {}, "prompt"),
        ("/tokenize", {"prompt": "a", "content": "a"}, "prompt"),
        ("/tokenize", {"prompt": "a", "messages": MESSAGES}, "prompt"),
        ("/tokenize", {"messages": []}, "prompt"),
        ("/tokenize", {"prompt": 1}, "prompt"),
        ("/tokenize", {"prompt": "a", "tools": [WEATHER]}, "tools"),
        ("/tokenize", {"prompt": "a", "add_special": True, "add_special_tokens": False}, "add_special"),
        ("/tokenize", {"messages": MESSAGES, "parse_special": False}, "parse_special"),
        ("/tokenize", {"prompt": "a", "with_piece": True}, "with_piece"),
        ("/detokenize", {}, "tokens"),
        ("/detokenize", {"tokens": [1, -1]}, "tokens[1]"),
        ("/detokenize", {"tokens": [1, 259]}, "tokens[1]"),
        ("/detokenize", {"tokens": ["a"]}, "tokens[0]"),
        ("/apply-template", {}, "messages"),
        ("/apply-template", {"messages": []}, "messages"),
    ],
)
def test_refusals_name_the_field(client: TestClient, path: str, body: dict[str, object], param: str) -> None:
    assert fault(client, path, **body)[:2] == (400, param)


def test_several_models_need_a_name() -> None:
    registry = registry_over(loaded_model(), dataclasses.replace(loaded_model(), id="other"))
    with TestClient(create_app(Settings(), registry), base_url="http://localhost") as client:
        assert client.portal is not None
        client.portal.call(registry.start)
        assert fault(client, "/tokenize", prompt="a")[:2] == (400, "model")
        assert tokens(client, prompt="a", model="other")["count"] == 1
        assert client.post("/tokenize", json={"prompt": "a", "model": "none"}).status_code == 404


def test_the_schemas_are_described(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    for path in ("/tokenize", "/detokenize", "/apply-template"):
        content = document["paths"][path]["post"]["requestBody"]["content"]
        name = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
        assert name in document["components"]["schemas"]
