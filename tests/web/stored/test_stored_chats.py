"""Chats that are stored: what OpenAI's own client sends about them and reads, over a scripted model."""

import json
from typing import Any

import httpx
import openai
import pytest
from caravan.api import stored_chats
from caravan.api.store import records
from caravan.auth import keys_file
from caravan.config.settings import Settings
from openai.types.chat import ChatCompletion, ChatCompletionDeleted
from openai.types.chat.chat_completion_store_message import ChatCompletionStoreMessage

from tests.fakes_web import ScriptedEngine, loaded_model, registry_over
from tests.live_server import live_server
from tests.openai_contract import check
from tests.web.chat_models import WEATHER, hermes
from tests.web.responding import say

URL = "/v1/chat/completions"
Json = dict[str, Any]
HI: Any = [{"role": "user", "content": "Hi"}]


def kept(live: str, name: str) -> Json:
    """A stored chat as it comes over the wire."""
    found: Json = httpx.get(f"{live}{URL}/{name}").json()
    check(ChatCompletion, found, beyond=("reasoning_content",))
    return found


def chat(client: openai.OpenAI, **fields: Any) -> ChatCompletion:  # noqa: ANN401
    made: ChatCompletion = client.chat.completions.create(model="fake", messages=HI, **fields)
    return made


def names(page: Any) -> list[str]:  # noqa: ANN401
    return [each.id for each in page]


def test_a_chat_is_kept_as_it_was_answered_until_it_is_deleted(client: openai.OpenAI, live: str) -> None:
    made = chat(client, store=True, metadata={"topic": "greetings"})
    assert made.metadata is None
    assert kept(live, made.id) == made.to_dict() | {"metadata": {"topic": "greetings"}}
    assert client.chat.completions.retrieve(made.id).choices == made.choices
    changed = client.chat.completions.update(made.id, metadata={"a": "é", "b": ""})
    assert (changed.metadata, changed.choices) == ({"a": "é", "b": ""}, made.choices)
    assert client.chat.completions.update(made.id, metadata=None).metadata == {}
    assert kept(live, made.id)["metadata"] == {}
    check(ChatCompletionDeleted, client.chat.completions.delete(made.id).to_dict())
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", ""), ("GET", "/messages")):
        body: Json | None = {"metadata": {}} if method == "POST" else None
        answer = httpx.request(method, f"{live}{URL}/{made.id}{path}", json=body)
        assert answer.status_code == 404
        assert answer.json()["error"] == {
            "message": f"Chat completion with id '{made.id}' not found.",
            "type": "invalid_request_error",
            "param": None,
            "code": "chat_completion_not_found",
        }


def test_nothing_is_kept_that_shall_not_be(client: openai.OpenAI, engine: ScriptedEngine, live: str) -> None:
    for fields in ({}, {"store": False}, {"store": None}, {"metadata": {"a": "b"}}):
        made = chat(client, **fields)
        assert httpx.get(f"{live}{URL}/{made.id}").status_code == 404
    engine.failure = openai.OpenAIError("no")
    with pytest.raises(openai.APIStatusError):
        chat(client, store=True)
    assert names(client.chat.completions.list()) == []


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("Hello there.", {"n": 2}),
        ("<think>\nHm.\n</think>\n\nHello.", {"logprobs": True, "top_logprobs": 2}),
        ("Wait. " + hermes("get_weather", '{"city": "Paris"}'), {"tools": [WEATHER]}),
    ],
)
def test_a_streamed_chat_is_kept_as_a_whole_one(
    client: openai.OpenAI, engine: ScriptedEngine, live: str, text: str, fields: Json
) -> None:
    say(engine, *(text[at : at + 7] for at in range(0, len(text), 7)))
    whole = kept(live, chat(client, store=True, **fields).id)
    chunks: Any = list(chat(client, store=True, stream=True, **fields))
    streamed = kept(live, chunks[0].id)
    calls = [call for each in chunks for call in each.choices[0].delta.tool_calls or () if call.id]
    assert [call["id"] for call in streamed["choices"][0]["message"].get("tool_calls", ())] == [
        call.id for call in calls
    ]
    for document in (whole, streamed):
        document["id"], document["created"] = "", 0
        for call in document["choices"][0]["message"].get("tool_calls", ()):
            call["id"] = ""
    assert streamed == whole


def test_they_are_listed_in_pages_and_by_what_they_are(client: openai.OpenAI, live: str) -> None:
    made = [chat(client, store=True, metadata={"n": str(n % 2), "all": "yes"}).id for n in range(5)]
    completions = client.chat.completions
    assert names(completions.list(limit=2)) == made
    assert names(completions.list(limit=2, order="desc")) == made[::-1]
    assert names(completions.list(after=made[2])) == made[3:]
    assert names(completions.list(after=made[2], order="desc")) == made[1::-1]
    assert names(completions.list(metadata={"n": "1"}, limit=1)) == made[1::2]
    assert names(completions.list(metadata={"n": "1", "all": "no"})) == []
    assert names(completions.list(model="fake")) == made
    assert names(completions.list(model="other")) == []
    page = httpx.get(f"{live}{URL}", params={"limit": 2, "metadata[all]": "yes"}).json()
    assert [page["first_id"], page["last_id"], page["has_more"]] == [made[0], made[1], True]
    assert page["data"] == [kept(live, name) for name in made[:2]]
    for each in completions.list(limit=2):
        completions.delete(each.id)
    assert names(completions.list()) == []
    with pytest.raises(openai.BadRequestError) as caught:
        completions.list(after="zzz")
    assert (caught.value.param, caught.value.code) == ("after", "chat_completion_not_found")
    for twice in ("order=asc&order=desc", "limit=1&limit=1", "metadata[n]=0&metadata[n]=1"):
        error = httpx.get(f"{live}{URL}?{twice}").json()["error"]
        assert (error["param"], error["code"]) == (twice.partition("=")[0], "invalid_value")


def test_a_search_takes_turns_and_pages_end_where_they_are_long(
    client: openai.OpenAI, live: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [chat(client, store=True, metadata={"n": str(n % 3)}).id for n in range(7)]
    monkeypatch.setattr(records, "_MAX_SEARCHED", 2)
    assert names(client.chat.completions.list(metadata={"n": "0"})) == made[::3]
    assert names(client.chat.completions.list(metadata={"n": "0"}, limit=1)) == made[::3]
    monkeypatch.setattr(records, "MAX_PAGE_BYTES", 100)
    monkeypatch.setattr(stored_chats, "MAX_PAGE_BYTES", 100)
    page = httpx.get(f"{live}{URL}").json()
    assert ([each["id"] for each in page["data"]], page["has_more"]) == (made[:1], True)
    assert names(client.chat.completions.list()) == made


def test_messages_are_listed(client: openai.OpenAI, live: str) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    parts = [{"type": "text", "text": "What "}, {"type": "text", "text": "else?"}]
    messages: Any = [
        {"role": "system", "content": "Be brief.", "name": "x"},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "21"},
        {"role": "user", "content": parts},
    ]
    name = client.chat.completions.create(model="fake", messages=messages, store=True, tools=[WEATHER]).id  # type: ignore[list-item]
    listed = httpx.get(f"{live}{URL}/{name}/messages").json()
    nothing = {"content": None, "refusal": None, "content_parts": None}
    expected = [{"id": f"{name}-{n}", **nothing, **each} for n, each in enumerate(messages)]
    expected[-1] |= {"content": "What else?", "content_parts": parts}
    assert listed["data"] == expected
    assert (listed["first_id"], listed["last_id"], listed["has_more"]) == (f"{name}-0", f"{name}-4", False)
    for message in listed["data"]:
        # OpenAI's type says so, and its service sends all roles.
        check(ChatCompletionStoreMessage, message | {"role": "assistant"}, beyond=("name", "tool_call_id"))
    ids = [message["id"] for message in expected]
    stored = client.chat.completions.messages
    assert names(stored.list(name, limit=2)) == ids
    assert names(stored.list(name, limit=2, order="desc")) == ids[::-1]
    assert names(stored.list(name, after=ids[3])) == ids[4:]
    with pytest.raises(openai.BadRequestError) as caught:
        stored.list(name, after="chatcmpl-0-9")
    assert (caught.value.param, caught.value.code) == ("after", "item_not_found")
    referring = {"model": "fake", "input": [{"type": "item_reference", "id": ids[0]}]}
    assert httpx.post(f"{live}/v1/responses", json=referring).status_code == 400, "they are no items"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"store": "yes"}, "store"),
        ({"store": True, "prompt_logprobs": 1}, "store"),
        ({"metadata": {"k": 1}}, "metadata.k"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
        ({"metadata": {"k": "v" * 513}}, "metadata.k"),
    ],
)
def test_odd_wishes_are_refused(live: str, fields: Json, param: str) -> None:
    answer = httpx.post(f"{live}{URL}", json={"model": "fake", "messages": HI, **fields})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("order=up", "order"),
        ("metadata=x", "metadata"),
        ("metadata=x&metadata[a]=b", "metadata"),
        ("&".join(f"metadata[{n}]=x" for n in range(17)), "metadata"),
    ],
)
def test_odd_queries_are_refused(live: str, query: str, param: str) -> None:
    answer = httpx.get(f"{live}{URL}?{query}")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_no_key_sees_anothers_chats(engine: ScriptedEngine, tmp_path: Any) -> None:  # noqa: ANN401
    file = tmp_path / "keys.json"
    keys = [keys_file.add(file, name=name) for name in ("alice", "bob")]
    settings = Settings.model_validate({"responses_db": "memory", "keys_file": file})
    with live_server(registry_over(loaded_model(engine)), settings) as address:
        alice, bob = (openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0) for key in keys)
        made = chat(alice, store=True)
        assert names(alice.chat.completions.list()) == [made.id]
        assert names(bob.chat.completions.list()) == []
        stored = bob.chat.completions
        asks: list[Any] = [
            lambda: stored.retrieve(made.id),
            lambda: stored.update(made.id, metadata={}),
            lambda: stored.delete(made.id),
            lambda: stored.messages.list(made.id),
        ]
        for ask in asks:
            with pytest.raises(openai.NotFoundError):
                ask()
        assert alice.chat.completions.retrieve(made.id).id == made.id


def test_what_is_too_long_is_answered_and_not_kept(
    client: openai.OpenAI, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_chats, "MAX_HISTORY_BYTES", 100)
    assert json.loads(chat(client, store=True).to_json())["choices"]
    assert names(client.chat.completions.list()) == []
    assert "is not stored: it has more than 100 bytes" in caplog.text
