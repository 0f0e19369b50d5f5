"""Responses that are kept, gone on with, or made in the background, over a scripted model."""

import json
from pathlib import Path

import httpx
import pytest
from caravan.api.responses import service
from caravan.api.store import records as records_module
from caravan.auth import keys_file
from caravan.config.settings import Settings
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine, loaded_model, registry_over
from tests.live_server import live_server
from tests.responses_contract import checked_response, events_of
from tests.waiting import wait_until
from tests.web.chat_models import app_over
from tests.web.responding import URL, ask, prompt, say, stream


def test_a_conversation_goes_on(client: TestClient, engine: ScriptedEngine) -> None:
    say(engine, "First.")
    first = ask(client, input="One?", instructions="Be brief.")
    second = ask(client, input="Two?", previous_response_id=first["id"])
    assert second["previous_response_id"] == first["id"]
    # The first response's instructions are gone, as with OpenAI.
    assert prompt(engine) == (
        "<|im_start|>user\nOne?<|im_end|>\n<|im_start|>assistant\nFirst.<|im_end|>\n"
        "<|im_start|>user\nTwo?<|im_end|>\n<|im_start|>assistant\n"
    )
    ask(client, input="Three?", previous_response_id=second["id"], instructions="Rhyme.")
    assert prompt(engine).startswith("<|im_start|>system\nRhyme.<|im_end|>\n<|im_start|>user\nOne?")
    assert prompt(engine).count("First.") == 2


def test_hidden_thoughts_do_not_add_up_without_an_end(
    engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The template shows none of them, so that the context never fills up."""
    monkeypatch.setenv("CARAVAN_RESPONSES_DB", "memory")
    monkeypatch.setattr(records_module, "MAX_HISTORY_BYTES", 100_000)
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "x" * 30_000}]}
    items = [thought, {"role": "user", "content": "Hi"}]
    plain = "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ bos_token }}\n{% endfor %}"
    with app_over(engine, plain) as client:
        last = ask(client, input=items)["id"]
        for _ in range(3):
            last = ask(client, input=items, previous_response_id=last)["id"]
        assert len(prompt(engine)) < 1000
        wrong = {"model": "fake", "input": items, "previous_response_id": last}
        error = client.post(URL, json=wrong).json()["error"]
        assert (error["param"], error["code"]) == ("previous_response_id", "conversation_too_long")
        assert "at most" in error["message"]
        many = [{"type": "item_reference", "id": item["id"]} for item in listed_items(client, last)] * 5
        error = client.post(URL, json={"model": "fake", "input": many}).json()["error"]
        assert (error["param"], error["code"]) == ("input", "conversation_too_long")


def listed_items(client: TestClient, response_id: str) -> list[dict[str, str]]:
    items: list[dict[str, str]] = client.get(f"{URL}/{response_id}/input_items").json()["data"]
    return items


def test_what_is_stored_can_be_asked_for_listed_and_deleted(client: TestClient) -> None:
    items = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        {"type": "message", "role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Who?"},
    ]
    response = ask(client, input=items)
    url = f"{URL}/{response['id']}"
    assert client.get(url).json() == response
    whole = client.get(f"{url}/input_items?order=asc").json()
    assert [item["role"] for item in whole["data"]] == ["developer", "user", "assistant", "user"]
    assert (whole["has_more"], whole["first_id"]) == (False, whole["data"][0]["id"])
    page = client.get(f"{url}/input_items", params={"limit": 2}).json()
    assert page["data"] == whole["data"][:1:-1]
    assert page["has_more"]
    rest = client.get(f"{url}/input_items", params={"after": page["last_id"]}).json()
    assert rest["data"] == whole["data"][1::-1]
    assert client.delete(url).json() == {"id": response["id"], "object": "response", "deleted": True}
    for method, path in (
        ("GET", url),
        ("GET", f"{url}/input_items"),
        ("DELETE", url),
        ("POST", f"{url}/cancel"),
    ):
        answer = client.request(method, path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "response_not_found")


def test_nothing_is_stored_that_shall_not_be(client: TestClient) -> None:
    response = ask(client, store=False)
    assert client.get(f"{URL}/{response['id']}").status_code == 404
    refused = client.post(URL, json={"model": "fake", "input": "x", "previous_response_id": response["id"]})
    assert refused.json()["error"] == {
        "message": f"Previous response with id '{response['id']}' not found.",
        "type": "invalid_request_error",
        "param": "previous_response_id",
        "code": "previous_response_not_found",
    }


def test_a_background_response_goes_on_alone(client: TestClient, engine: ScriptedEngine) -> None:
    say(engine, "one ", "two")
    engine.hold_after = 1
    queued = ask(client, background=True)
    assert (queued["status"], queued["output"]) == ("queued", [])
    url = f"{URL}/{queued['id']}"
    wait_until(lambda: client.get(url).json()["status"] == "in_progress")
    busy = client.post(URL, json={"model": "fake", "input": "x", "previous_response_id": queued["id"]})
    assert "still being made" in busy.json()["error"]["message"]
    engine.hold_after = None
    wait_until(lambda: client.get(url).json()["status"] == "completed")
    done = checked_response(client.get(url).json())
    assert done.output_text == "one two"
    assert client.post(f"{url}/cancel").json() == client.get(url).json()


def test_a_background_response_is_cancelled(client: TestClient, engine: ScriptedEngine) -> None:
    say(engine, "one ", "two")
    engine.hold_after = 1
    url = f"{URL}/{ask(client, background=True)['id']}"
    wait_until(lambda: bool(engine.running))
    cancelled = client.post(f"{url}/cancel").json()
    assert checked_response(cancelled).status == "cancelled"
    assert client.get(url).json() == cancelled
    assert len(engine.aborted) == 1
    foreground = ask(client, max_output_tokens=1)
    refused = client.post(f"{URL}/{foreground['id']}/cancel")
    assert (refused.status_code, "background" in refused.text) == (400, True)


def test_a_background_stream_can_be_read_again(client: TestClient, engine: ScriptedEngine) -> None:
    say(engine, "one ", "two")
    events = stream(client, background=True)
    assert [event["type"] for event in events[:3]] == [
        "response.created",
        "response.queued",
        "response.in_progress",
    ]
    url = f"{URL}/{events[0]['response']['id']}"
    assert events_of(client.get(url, params={"stream": "true"}).text) == events
    rest = client.get(url, params={"stream": "true", "starting_after": 4}).text
    assert rest.count("event: ") == len(events) - 5
    plain = ask(client)
    refused = client.get(f"{URL}/{plain['id']}", params={"stream": "true"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "stream")


def test_keys_see_their_own_responses_and_pay_for_what_goes_on_alone(
    engine: ScriptedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARAVAN_RESPONSES_DB", "memory")
    monkeypatch.setenv("CARAVAN_KEYS_FILE", str(tmp_path / "keys.json"))
    alice, bob = (
        {"Authorization": f"Bearer {keys_file.add(tmp_path / 'keys.json', name=name, concurrent_requests=1)}"}
        for name in ("alice", "bob")
    )
    body = {"model": "fake", "input": "Hi"}
    engine.hold_after = 1
    with app_over(engine) as client:
        made = client.post(URL, json={**body, "background": True}, headers=alice).json()
        url = f"{URL}/{made['id']}"
        assert client.post(URL, json=body, headers=alice).status_code == 429
        on_it = {**body, "previous_response_id": made["id"]}
        assert client.post(URL, json=on_it, headers=bob).json()["error"]["param"] == "previous_response_id"
        for method, path in (("GET", url), ("DELETE", url), ("POST", f"{url}/cancel")):
            assert client.request(method, path, headers=bob).status_code == 404
        assert client.get(url, headers=alice).json()["status"] == "in_progress"
        assert client.post(f"{url}/cancel", headers=alice).json()["status"] == "cancelled"
        engine.hold_after = None
        assert client.post(URL, json=body, headers=alice).status_code == 200


@pytest.mark.parametrize("background", [False, True])
def test_a_client_that_leaves_cancels_what_does_not_go_on_alone(
    live: str, engine: ScriptedEngine, *, background: bool
) -> None:
    engine.hold_after = 1
    body = {"model": "fake", "input": "Hi", "stream": True, "background": background}
    with httpx.stream("POST", live + URL, json=body) as answer:
        lines = answer.iter_lines()  # held, since iterators that nobody holds close the connection
        data = next(line for line in lines if line.startswith("data: "))
        url = f"{live}{URL}/{json.loads(data.removeprefix('data: '))['response']['id']}"
        wait_until(lambda: bool(engine.running))
    if background:
        assert httpx.get(url).json()["status"] == "in_progress"
        engine.hold_after = None
    end = "completed" if background else "cancelled"
    wait_until(lambda: httpx.get(url).json()["status"] == end)
    checked_response(httpx.get(url).json())
    assert len(engine.aborted) == (not background)


def test_what_goes_on_alone_fails_when_the_server_ends(engine: ScriptedEngine, tmp_path: Path) -> None:
    settings = Settings(responses_db=tmp_path / "r.db", shutdown_seconds=0)
    engine.hold_after = 1
    with live_server(registry_over(loaded_model(engine)), settings) as address:
        body = {"model": "fake", "input": "Hi", "background": True}
        made = httpx.post(address + URL, json=body).json()
        wait_until(lambda: bool(engine.running))
    with live_server(registry_over(loaded_model(engine)), settings) as address:
        failed = httpx.get(f"{address}{URL}/{made['id']}").json()
    assert (failed["status"], failed["error"]["code"]) == ("failed", "server_error")
    checked_response(failed)


def test_places_in_the_background_are_shared_by_keys(
    engine: ScriptedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARAVAN_RESPONSES_DB", "memory")
    monkeypatch.setenv("CARAVAN_KEYS_FILE", str(tmp_path / "keys.json"))
    monkeypatch.setattr(service, "_MAX_BACKGROUND", 4)
    greedy, modest = (
        {"Authorization": f"Bearer {keys_file.add(tmp_path / 'keys.json', name=name)}"}
        for name in ("greedy", "modest")
    )
    body = {"model": "fake", "input": "Hi", "background": True}
    engine.hold_after = 0
    with app_over(engine) as client:

        def made(headers: dict[str, str]) -> str:
            """The id of a new response, or the code of the error."""
            answer = client.post(URL, json=body, headers=headers).json()
            return str(answer["id"] if "id" in answer else answer["error"]["code"])

        many = [made(greedy) for _ in range(4)]
        assert made(greedy) == "overloaded"
        few = [made(modest) for _ in range(2)]
        assert made(modest) == "overloaded"

        def status(name: str, headers: dict[str, str]) -> str:
            return str(client.get(f"{URL}/{name}", headers=headers).json()["status"])

        wait_until(lambda: [status(name, greedy) for name in many[2:]] == ["failed"] * 2)
        assert {status(name, greedy) for name in many[:2]} == {"in_progress"}
        engine.hold_after = None
        wait_until(lambda: {status(name, modest) for name in few} == {"completed"})
        assert made(greedy) != "overloaded"
