"""Fields about tokens: what is told of them, and how prompts are made of them."""

import json
from collections.abc import Generator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.fakes_web import BOS_ID, FakeVocab, ScriptedEngine, loaded_model
from tests.web.chat_models import app_over
from tests.web.routes.test_chat import chunks, events

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
VECTORS = "/v1/embeddings"
MESSAGES = [{"role": "user", "content": "x"}]
BODIES: dict[str, dict[str, Any]] = {
    CHAT: {"model": "fake", "messages": MESSAGES},
    TEXT: {"model": "fake", "prompt": "Hello"},
    VECTORS: {"model": "fake", "input": "Hello"},
}


def post(client: TestClient, path: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401
    answer = client.post(path, json={**BODIES[path], **fields})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def refused(client: TestClient, path: str, **fields: Any) -> str | None:  # noqa: ANN401
    """The name of the field at fault."""
    answer = client.post(path, json={**BODIES[path], **fields})
    assert answer.status_code == 400, answer.text
    param: str | None = answer.json()["error"]["param"]
    return param


@pytest.fixture
def with_bos(engine: ScriptedEngine) -> Generator[TestClient, None, None]:
    """Over a model whose tokenizer puts a BOS before a text."""
    model = loaded_model(engine, vocab=FakeVocab(with_bos=True), bos_text="<s>")
    with app_over(engine, model=model) as client:
        yield client


def test_token_ids_of_whole_answers(client: TestClient, engine: ScriptedEngine) -> None:
    engine.script = lambda _request, index: ["Hé", f"l{index}"]
    chat = post(client, CHAT, return_token_ids=True, n=2)
    assert chat["prompt_token_ids"] == list(engine.requests[-1].token_ids)
    assert [bytes(choice["token_ids"]).decode() for choice in chat["choices"]] == ["Hél0", "Hél1"]
    text = post(client, TEXT, prompt=["ab", "c"], return_token_ids=True)
    assert [bytes(choice["prompt_token_ids"]) for choice in text["choices"]] == [b"ab", b"c"]
    assert [bytes(choice["token_ids"]).decode() for choice in text["choices"]] == ["Hél0", "Hél0"]
    for path in (CHAT, TEXT):
        assert "token_ids" not in client.post(path, json=BODIES[path]).text


def test_token_ids_of_streams_come_with_their_text_and_the_prompts_first(
    client: TestClient, engine: ScriptedEngine
) -> None:
    engine.script = lambda _request, _index: ["Hé", "llo"]
    fields = {"stream": True, "return_token_ids": True}
    sent = chunks(client.post(CHAT, json={**BODIES[CHAT], **fields}).text)
    assert [chunk.get("prompt_token_ids") for chunk in sent] == [
        list(engine.requests[-1].token_ids),
        *[None] * (len(sent) - 1),
    ]
    told = [(c["delta"].get("content"), c.get("token_ids")) for chunk in sent for c in chunk["choices"]]
    assert told == [("", None), ("Hé", list("Hé".encode())), ("llo", list(b"llo")), (None, None)]

    streamed = client.post(TEXT, json={**BODIES[TEXT], **fields, "prompt": ["ab", "c"]}).text
    sent = [json.loads(event) for event in events(streamed)[:-1]]
    for index, prompt in enumerate((b"ab", b"c")):
        own = [choice for chunk in sent for choice in chunk["choices"] if choice["index"] == index]
        assert [choice.get("prompt_token_ids") for choice in own] == [list(prompt), *[None] * (len(own) - 1)]
        assert [token_id for choice in own for token_id in choice.get("token_ids", ())] == list(
            "Héllo".encode()
        )


def test_token_ids_of_what_is_no_content_are_told_too(engine: ScriptedEngine) -> None:
    pieces = ["<think>", "Hm.", "</think>", "Yes"]
    engine.script = lambda _request, _index: pieces
    with app_over(engine) as client:
        body = {**BODIES[CHAT], "stream": True, "return_token_ids": True}
        sent = chunks(client.post(CHAT, json=body).text)
    told = [token_id for chunk in sent for c in chunk["choices"] for token_id in c.get("token_ids", ())]
    assert bytes(told).decode() == "".join(pieces)


def test_n_probs_is_logprobs_by_another_name(client: TestClient) -> None:
    def shown(path: str, **fields: Any) -> object:  # noqa: ANN401
        return post(client, path, seed=1, **fields)["choices"]

    assert shown(CHAT, n_probs=2) == shown(CHAT, logprobs=True, top_logprobs=2)
    assert shown(CHAT, n_probs=2) == shown(CHAT, logprobs=True, top_logprobs=2, n_probs=2)
    assert shown(CHAT, n_probs=0) == shown(CHAT)
    assert shown(TEXT, n_probs=2) == shown(TEXT, logprobs=2)
    assert shown(TEXT, n_probs=2, echo=True) == shown(TEXT, logprobs=2, echo=True)
    assert shown(TEXT, n_probs=0, logprobs=0) == shown(TEXT, logprobs=0)
    assert refused(client, CHAT, n_probs=2, logprobs=True, top_logprobs=3) == "n_probs"
    assert refused(client, CHAT, n_probs=2, logprobs=False) == "n_probs"
    assert refused(client, TEXT, n_probs=2, logprobs=1) == "n_probs"
    assert refused(client, TEXT, n_probs=21) == "n_probs"


@pytest.mark.parametrize("path", [CHAT, TEXT])
def test_only_the_last_tokens_of_a_prompt_are_kept(
    client: TestClient, engine: ScriptedEngine, path: str
) -> None:
    post(client, path)
    whole = engine.requests[-1].token_ids
    for limit in (1, 3, len(whole), 511):
        answer = post(client, path, truncate_prompt_tokens=limit)
        assert engine.requests[-1].token_ids == whole[-limit:]
        assert answer["usage"]["prompt_tokens"] == min(limit, len(whole))
    for wrong in (0, -2, 512, 10**12):
        assert refused(client, path, truncate_prompt_tokens=wrong) == "truncate_prompt_tokens"


def test_as_much_of_a_prompt_is_kept_as_leaves_room_for_the_answer(
    client: TestClient, engine: ScriptedEngine
) -> None:
    """The context has 512 tokens."""
    long = "".join(chr(97 + place % 26) for place in range(200_000))
    for prompt in (long, list(long.encode())[:3000]):
        assert refused(client, TEXT, prompt=prompt) == "prompt"
        post(client, TEXT, prompt=prompt, truncate_prompt_tokens=-1, max_tokens=12)
        kept = prompt.encode() if isinstance(prompt, str) else bytes(prompt)
        assert bytes(engine.requests[-1].token_ids) == kept[-500:]
    messages = [{"role": "user", "content": long}]
    post(client, CHAT, messages=messages, truncate_prompt_tokens=-1)
    assert len(engine.requests[-1].token_ids) == 511
    assert post(client, VECTORS, input=long, truncate_prompt_tokens=-1)["usage"]["prompt_tokens"] == 512
    for short in (["abc", "def"], [[1, 2, 3], [4, 5, 6]]):
        cut = post(client, VECTORS, input=short, truncate_prompt_tokens=2)
        assert cut["usage"]["prompt_tokens"] == 4
    assert refused(client, VECTORS, truncate_prompt_tokens=513) == "truncate_prompt_tokens"


def test_what_cannot_be_cut_is_refused(client: TestClient) -> None:
    assert refused(client, TEXT, truncate_prompt_tokens=2, echo=True) == "echo"
    assert refused(client, TEXT, truncate_prompt_tokens=2, suffix="x") == "truncate_prompt_tokens"
    assert refused(client, TEXT, add_special_tokens=False, suffix="x") == "add_special_tokens"


def test_a_bos_is_left_out_and_one_that_was_added_stays(with_bos: TestClient, engine: ScriptedEngine) -> None:
    def prompt(**fields: Any) -> tuple[int, ...]:  # noqa: ANN401
        post(with_bos, TEXT, **fields)
        return engine.requests[-1].token_ids

    assert prompt() == prompt(add_special_tokens=True) == (BOS_ID, *b"Hello")
    assert prompt(add_special_tokens=False) == tuple(b"Hello")
    assert prompt(truncate_prompt_tokens=3) == (BOS_ID, *b"lo")
    assert prompt(truncate_prompt_tokens=1) == (BOS_ID,)
    assert prompt(truncate_prompt_tokens=3, prompt="<s>Hello") == tuple(b"llo")
    assert prompt(truncate_prompt_tokens=3, prompt=[BOS_ID, 1, 2, 3]) == (1, 2, 3)
    assert prompt(prompt="") == (BOS_ID,)
    assert refused(with_bos, TEXT, prompt="", add_special_tokens=False) == "prompt"
    post(with_bos, CHAT, add_special_tokens=False)
    assert BOS_ID not in engine.requests[-1].token_ids
    assert post(with_bos, VECTORS)["usage"]["prompt_tokens"] == 6
    assert post(with_bos, VECTORS, add_special_tokens=False)["usage"]["prompt_tokens"] == 5
