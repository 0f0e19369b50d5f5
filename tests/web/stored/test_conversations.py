"""Conversations, and responses in them: what OpenAI's own client sends and reads, over a scripted model."""

import threading
from typing import Any

import httpx
import openai
import pytest
from caravan.api.store import records
from caravan.auth import keys_file
from caravan.config.settings import Settings
from openai.types.conversations import Conversation, ConversationDeletedResource
from openai.types.conversations.conversation_item_list import ConversationItemList

from tests.fakes_web import ScriptedEngine, loaded_model, registry_over
from tests.live_server import live_server
from tests.openai_contract import check
from tests.responses_contract import checked_response
from tests.waiting import PATIENCE, wait_until
from tests.web.chat_models import hermes
from tests.web.responding import prompt, say

URL = "/v1/conversations"
Json = dict[str, Any]
FLAT = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}}
USER: Any = {"type": "message", "role": "user", "content": "One?"}


def listed(live: str, name: str, **params: Any) -> list[Json]:  # noqa: ANN401
    """The items of a conversation, the oldest first."""
    page = httpx.get(f"{live}{URL}/{name}/items", params={"order": "asc", "limit": 100, **params}).json()
    # As OpenAI's service has it, an empty page has no ids, whatever the type says.
    ends = {"first_id": page["first_id"] or "", "last_id": page["last_id"] or ""}
    check(ConversationItemList, page | ends)
    items: list[Json] = page["data"]
    return items


def item(**fields: str) -> Any:  # noqa: ANN401
    return {**USER, **fields}


def texts(items: list[Json]) -> list[tuple[str, str]]:
    return [(item["role"], item["content"][0]["text"]) for item in items]


def respond(client: openai.OpenAI, **fields: Any) -> Any:  # noqa: ANN401
    made = client.responses.create(**{"model": "fake", "input": "Hi", **fields})
    if not isinstance(made, openai.Stream):
        checked_response(made.to_dict())
    return made


def test_a_conversation_is_made_changed_and_deleted(client: openai.OpenAI, live: str) -> None:
    empty = client.conversations.create()
    assert (empty.metadata, listed(live, empty.id)) == ({}, [])
    made = client.conversations.create(items=[USER], metadata={"topic": "numbers"})
    check(Conversation, httpx.get(f"{live}{URL}/{made.id}").json())
    assert client.conversations.retrieve(made.id).to_dict() == made.to_dict()
    changed = client.conversations.update(made.id, metadata={"topic": "é"})
    assert (changed.metadata, changed.created_at) == ({"topic": "é"}, made.created_at)
    assert client.conversations.update(made.id, metadata=None).metadata == {}
    check(ConversationDeletedResource, client.conversations.delete(made.id).to_dict())
    body = {"metadata": {}, "items": [USER]}
    for method, path in (
        ("GET", ""),
        ("DELETE", ""),
        ("POST", ""),
        ("GET", "/items"),
        ("POST", "/items"),
        ("GET", "/items/msg_1"),
        ("DELETE", "/items/msg_1"),
    ):
        answer = httpx.request(
            method, f"{live}{URL}/{made.id}{path}", json=body if method == "POST" else None
        )
        assert answer.status_code == 404, (method, path)
        assert answer.json()["error"] == {
            "message": f"Conversation with id '{made.id}' not found.",
            "type": "invalid_request_error",
            "param": None,
            "code": "conversation_not_found",
        }
    assert client.conversations.retrieve(empty.id).id == empty.id


def test_items_are_added_read_in_pages_and_taken_out(client: openai.OpenAI, live: str) -> None:
    name = client.conversations.create(items=[USER]).id
    more: Any = [
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [],
            "content": [{"type": "reasoning_text", "text": "Hm."}],
        },
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "21"},
        {"type": "message", "role": "assistant", "content": "Two."},
    ]
    added = client.conversations.items.create(name, items=more)
    assert [item.type for item in added.data] == [item["type"] for item in more]
    check(ConversationItemList, added.to_dict())
    ids = [item["id"] for item in listed(live, name)]
    assert ids[1:] == [item.id for item in added.data if item.id]
    stored = client.conversations.items
    assert [item.id for item in stored.list(name, limit=2)] == ids[::-1]
    assert [item.id for item in stored.list(name, limit=2, order="asc")] == ids
    assert [item.id for item in stored.list(name, after=ids[3], order="asc")] == ids[4:]
    with pytest.raises(openai.BadRequestError) as caught:
        stored.list(name, after="msg_9")
    assert (caught.value.param, caught.value.code) == ("after", "item_not_found")
    first: Any = stored.retrieve(ids[0], conversation_id=name)
    assert first.content[0].text == "One?"
    assert stored.delete(ids[0], conversation_id=name).id == name
    assert [item["id"] for item in listed(live, name)] == ids[1:]
    for method in ("GET", "DELETE"):
        answer = httpx.request(method, f"{live}{URL}/{name}/items/{ids[0]}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "item_not_found")
    referring: Any = {"type": "item_reference", "id": ids[-1]}
    other = client.conversations.create(items=[referring]).id
    assert texts(listed(live, other)) == [("assistant", "Two.")]


def test_an_item_is_in_a_conversation_once(client: openai.OpenAI, live: str) -> None:
    name = client.conversations.create(items=[item(id="msg_1")]).id
    twice: list[Any] = [[USER, item(id="msg_1")], [item(id="msg_2")] * 2]
    for items in twice:
        with pytest.raises(openai.BadRequestError) as caught:
            client.conversations.items.create(name, items=items)
        assert (caught.value.param, caught.value.code) == ("items", "duplicate_item")
    with pytest.raises(openai.BadRequestError) as caught:
        respond(client, conversation=name, input=[item(id="msg_1")])
    assert (caught.value.param, caught.value.code) == ("input", "duplicate_item")
    assert len(listed(live, name)) == 1


def test_a_response_goes_on_with_a_conversation(
    client: openai.OpenAI, engine: ScriptedEngine, live: str
) -> None:
    name = client.conversations.create(items=[item(role="developer", content="Be brief.")]).id
    say(engine, "First.")
    first = respond(client, conversation=name, input="One?", instructions="Rhyme.")
    assert first.conversation.id == name
    say(engine, "Second.")
    events = list(respond(client, conversation={"id": name}, input=[USER], stream=True, store=False))
    assert events[-1].response.conversation.id == name
    assert prompt(engine) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nOne?<|im_end|>\n"
        "<|im_start|>assistant\nFirst.<|im_end|>\n<|im_start|>user\nOne?<|im_end|>\n<|im_start|>assistant\n"
    )
    items = listed(live, name)
    assert texts(items) == [
        ("developer", "Be brief."),
        ("user", "One?"),
        ("assistant", "First."),
        ("user", "One?"),
        ("assistant", "Second."),
    ]
    assert items[2]["id"] == first.output[0].id
    assert client.responses.retrieve(first.id).to_dict() == first.to_dict()
    assert client.responses.retrieve(first.id).conversation == first.conversation
    client.conversations.delete(name)
    assert client.responses.retrieve(first.id).output_text == "First."


def test_calls_and_their_results_are_two_turns(
    client: openai.OpenAI, engine: ScriptedEngine, live: str
) -> None:
    name = client.conversations.create().id
    say(engine, "<think>\nHm.\n</think>\n\n", hermes("get_weather", "{}"))
    call = respond(client, conversation=name, tools=[FLAT]).output[-1]
    with pytest.raises(openai.BadRequestError) as caught:
        respond(client, conversation=name, tools=[FLAT])
    assert caught.value.param == "input"
    say(engine, "21 degrees.")
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "21"}
    assert respond(client, conversation=name, input=[result], tools=[FLAT]).output_text == "21 degrees."
    kinds = [item["type"] for item in listed(live, name)]
    assert kinds == ["message", "reasoning", "function_call", "function_call_output", "message"]


def test_a_background_response_is_added_when_it_has_ended(
    client: openai.OpenAI, engine: ScriptedEngine, live: str
) -> None:
    name = client.conversations.create().id
    say(engine, "one ", "two")
    engine.hold_after = 1
    made = respond(client, conversation=name, background=True)
    wait_until(lambda: bool(engine.running))
    assert listed(live, name) == []
    engine.hold_after = None
    wait_until(lambda: client.responses.retrieve(made.id).status == "completed")
    assert texts(listed(live, name)) == [("user", "Hi"), ("assistant", "one two")]


def test_what_fails_or_is_cancelled_adds_nothing(
    client: openai.OpenAI, engine: ScriptedEngine, live: str
) -> None:
    name = client.conversations.create().id
    say(engine, "one ", "two")
    engine.hold_after = 1
    made = respond(client, conversation=name, background=True)
    wait_until(lambda: bool(engine.running))
    assert client.responses.cancel(made.id).status == "cancelled"
    engine.hold_after, engine.failure, engine.fail_after = None, RuntimeError("no"), 1
    with pytest.raises(openai.InternalServerError):
        respond(client, conversation=name)
    assert listed(live, name) == []
    engine.failure = None
    assert respond(client, conversation=name, max_output_tokens=1).status == "incomplete"
    assert texts(listed(live, name)) == [("user", "Hi"), ("assistant", "one ")]


def test_responses_at_once_are_added_one_after_the_other(
    client: openai.OpenAI, engine: ScriptedEngine, live: str
) -> None:
    name = client.conversations.create().id
    say(engine, "one ", "two")
    engine.hold_after = 1
    threads = [
        threading.Thread(target=respond, args=(client,), kwargs={"conversation": name, "input": str(n)})
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(engine.running) == 4)
    engine.hold_after = None
    for thread in threads:
        thread.join(PATIENCE)
    said = texts(listed(live, name))
    assert sorted(said[::2]) == [("user", str(n)) for n in range(4)]
    assert said[1::2] == [("assistant", "one two")] * 4


def test_a_conversation_has_a_limit(
    client: openai.OpenAI, live: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MAX_HISTORY_ITEMS", 3)
    name = client.conversations.create(items=[USER, USER]).id
    with pytest.raises(openai.BadRequestError) as caught:
        client.conversations.items.create(name, items=[USER, USER])
    assert (caught.value.param, caught.value.code) == ("items", "conversation_too_long")
    assert len(listed(live, name)) == 2
    respond(client, conversation=name)
    with pytest.raises(openai.BadRequestError) as caught:
        respond(client, conversation=name)
    assert (caught.value.param, caught.value.code) == ("conversation", "conversation_too_long")
    page = httpx.get(f"{live}{URL}/{name}/items?limit=3").json()
    monkeypatch.setattr(records, "MAX_PAGE_BYTES", 10)
    short = httpx.get(f"{live}{URL}/{name}/items?limit=3").json()
    assert (short["data"], short["has_more"]) == (page["data"][:1], True)
    assert len(list(client.conversations.items.list(name))) == 4


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("", {"items": [USER] * 21}, "items"),
        ("", {"items": USER}, "items"),
        ("", {"metadata": {"k": 1}}, "metadata.k"),
        ("", {"items": [{"type": "web_search_call"}]}, "items[0]"),
        ("", {"items": [{"type": "item_reference", "id": "msg_9"}]}, "items[0].id"),
        ("/items", {"items": []}, "items"),
        ("/items", {}, "items"),
        ("", {"item": []}, "item"),
    ],
)
def test_odd_bodies_are_refused(client: openai.OpenAI, live: str, path: str, body: Json, param: str) -> None:
    url = f"{live}{URL}/{client.conversations.create().id}{path}" if path else f"{live}{URL}"
    answer = httpx.post(url, json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_a_conversation_that_is_not_there_is_told_by_its_field(client: openai.OpenAI) -> None:
    stored = respond(client)
    for name in ("conv_0", stored.id):
        with pytest.raises(openai.NotFoundError) as caught:
            respond(client, conversation=name)
        assert (caught.value.param, caught.value.code) == ("conversation", "conversation_not_found")
    made = client.conversations.create().id
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made)
    with pytest.raises(openai.BadRequestError) as refused:
        respond(client, previous_response_id=made)
    assert refused.value.code == "previous_response_not_found"


def test_no_key_sees_anothers_conversations(engine: ScriptedEngine, tmp_path: Any) -> None:  # noqa: ANN401
    file = tmp_path / "keys.json"
    keys = [keys_file.add(file, name=name) for name in ("alice", "bob")]
    settings = Settings.model_validate({"responses_db": "memory", "keys_file": file})
    with live_server(registry_over(loaded_model(engine)), settings) as address:
        clients: list[Any] = [
            openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0) for key in keys
        ]
        alice, bob = clients
        made = alice.conversations.create(items=[item(id="msg_1")]).id
        asks: list[Any] = [
            lambda: bob.conversations.retrieve(made),
            lambda: bob.conversations.update(made, metadata={}),
            lambda: bob.conversations.delete(made),
            lambda: bob.conversations.items.list(made),
            lambda: bob.conversations.items.create(made, items=[USER]),
            lambda: bob.conversations.items.retrieve("msg_1", conversation_id=made),
            lambda: bob.conversations.items.delete("msg_1", conversation_id=made),
            lambda: respond(bob, conversation=made),
        ]
        for ask in asks:
            with pytest.raises(openai.NotFoundError):
                ask()
        with pytest.raises(openai.BadRequestError):
            respond(bob, input=[{"type": "item_reference", "id": "msg_1"}])
        assert len(alice.conversations.items.list(made).data) == 1
