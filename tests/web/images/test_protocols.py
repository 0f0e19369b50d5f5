"""Images in the other APIs and on other routes, over a stand-in for the encoder and a scripted engine."""

import base64
import json

from caravan.config.settings import Settings
from caravan.errors import EngineFailedError
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine
from tests.waiting import wait_until
from tests.web.chat_models import HERMES, app_over
from tests.web.images import (
    USER,
    Fields,
    StandInEncoder,
    chat,
    data_url,
    image,
    prompt,
    seeing,
    text,
)


def test_responses_have_images_and_keep_them(client: TestClient, engine: ScriptedEngine) -> None:
    cat = {"type": "input_image", "image_url": data_url(b"cat")}
    items = [{"role": "user", "content": [{"type": "input_text", "text": "What is "}, cat]}]
    first = client.post("/v1/responses", json={"model": "fake", "input": items})
    assert first.status_code == 200, first.text
    assert prompt(engine) == USER.format("What is [***]")
    listed = client.get(f"/v1/responses/{first.json()['id']}/input_items").json()["data"]
    assert listed[0]["content"][1] == {"detail": "auto", **cat}
    again = {"model": "fake", "input": "Sure?", "previous_response_id": first.json()["id"]}
    assert client.post("/v1/responses", json=again).status_code == 200
    assert "What is [***]<|im_end|>" in prompt(engine)


def test_results_of_functions_have_images(client: TestClient, engine: ScriptedEngine) -> None:
    call = {"type": "function_call", "call_id": "a", "name": "look", "arguments": "{}"}
    output = [{"type": "input_text", "text": "seen: "}, {"type": "input_image", "image_url": data_url(b"xy")}]
    items = [
        {"role": "user", "content": "Look."},
        call,
        {"type": "function_call_output", "call_id": "a", "output": output},
    ]
    answer = client.post("/v1/responses", json={"model": "fake", "input": items})
    assert answer.status_code == 200, answer.text
    assert "seen: [**]" in prompt(engine)
    output[1]["image_url"] = data_url(b"broken")
    error = client.post("/v1/responses", json={"model": "fake", "input": items}).json()["error"]
    assert error["param"] == "input[2].output[1].image_url"
    alone = {"type": "function_call_output", "call_id": "b", "output": output}
    error = client.post("/v1/responses", json={"model": "fake", "input": [alone]}).json()["error"]
    assert error["param"] == "input[0].output[1].image_url"


def test_input_tokens_count_images(client: TestClient, engine: ScriptedEngine) -> None:
    items = [{"role": "user", "content": [{"type": "input_image", "image_url": data_url(b"cat")}]}]
    counted = client.post("/v1/responses/input_tokens", json={"model": "fake", "input": items}).json()
    answer = client.post("/v1/responses", json={"model": "fake", "input": items}).json()
    assert counted["input_tokens"] == answer["usage"]["input_tokens"] == len(engine.requests[-1].token_ids)


def anthropic(data: bytes) -> Fields:
    data_ = base64.b64encode(data).decode()
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data_}}


def test_messages_of_anthropic_have_images(client: TestClient, engine: ScriptedEngine) -> None:
    content = [text("One:"), anthropic(b"a"), text("Two:"), text("and"), anthropic(b"bb")]
    body = {"model": "fake", "max_tokens": 9, "messages": [{"role": "user", "content": content}]}
    answer = client.post("/v1/messages", json=body)
    assert answer.status_code == 200, answer.text
    assert prompt(engine) == USER.format("One:[*]Two:\n\nand[**]")
    del body["max_tokens"]
    counted = client.post("/v1/messages/count_tokens", json=body).json()["input_tokens"]
    usage = answer.json()["usage"]
    assert counted == usage["input_tokens"] + usage["cache_read_input_tokens"]


def test_tools_of_anthropic_answer_with_images(client: TestClient, engine: ScriptedEngine) -> None:
    result: Fields = {"type": "tool_result", "tool_use_id": "a", "is_error": True}
    result["content"] = [text("seen: "), anthropic(b"xy")]
    messages = [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "look", "input": {}}]},
        {"role": "user", "content": [result, text("So?")]},
    ]
    body = {"model": "fake", "max_tokens": 9, "messages": messages}
    answer = client.post("/v1/messages", json=body)
    assert answer.status_code == 200, answer.text
    assert "Error: seen: [**]" in prompt(engine)
    result["content"][1] = anthropic(b"broken")
    error = client.post("/v1/messages", json=body).json()["error"]
    assert error["details"]["param"] == "messages[2].content[0].content[1].source"


def test_a_date_in_anthropics_system_prompt_comes_before_an_image(
    client: TestClient, engine: ScriptedEngine
) -> None:
    body = {
        "model": "fake",
        "max_tokens": 9,
        "system": "Today is 2026-12-01.\nCurrent time: 12:30",
        "messages": [{"role": "user", "content": [anthropic(b"a")]}],
    }
    assert client.post("/v1/messages", json=body).status_code == 200
    assert "Today is 2026-12-01.\n\n[*]\n\nCurrent time: 12:30<" in prompt(engine)


def test_ollamas_images(client: TestClient, engine: ScriptedEngine, encoder: StandInEncoder) -> None:
    one = base64.b64encode(b"a").decode()
    message = {"role": "user", "content": "What?", "images": [one, one]}
    answer = client.post("/api/chat", json={"model": "fake", "messages": [message], "stream": False})
    assert answer.status_code == 200, answer.text
    assert prompt(engine) == USER.format("[*][*]What?")
    asked = {"model": "fake", "prompt": "What?", "images": [one], "stream": False}
    assert client.post("/api/generate", json=asked).status_code == 200
    assert prompt(engine) == USER.format("[*]What?")
    asked["images"] = [one, base64.b64encode(b"broken").decode()]
    assert "'images[1]' is no image" in client.post("/api/generate", json=asked).json()["error"]
    message["images"] = ["x"]
    refused = client.post("/api/chat", json={"model": "fake", "messages": [message]}).json()
    assert "'messages[0].images[0]' is not valid Base64" in refused["error"]
    assert len(encoder.asked) == 5


def test_tokens_and_prompts_show_images(client: TestClient) -> None:
    body = {"model": "fake", "messages": [{"role": "user", "content": [text("a"), image(b"cat")]}]}
    shown = client.post("/apply-template", json=body).json()["prompt"]
    assert shown == USER.format("a<__media__>")
    tokens = client.post("/tokenize", json={**body, "return_token_strs": True, "with_pieces": True}).json()
    (place,) = tokens["media"]
    ids = [token["id"] for token in tokens["tokens"]]
    assert ids[place["start"] : place["start"] + place["num_tokens"]] == [1, -1, -1, -1, 2]
    assert place["type"] == "image"
    assert tokens["count"] == len(ids) == len(tokens["token_strs"])
    refused = client.post("/tokenize", json={**body, "prompt": "a"})
    assert refused.json()["error"]["param"] == "prompt"


def test_decisions_read_no_images(client: TestClient) -> None:
    seen = {"type": "input_image", "image_url": data_url(b"a")}
    items = [
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": [seen]},
    ]
    questions = [{"type": "predicate", "name": "a", "instructions": "Is it?"}]
    answer = client.post("/v1/decisions", json={"model": "fake", "input": items, "questions": questions})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "input[1].output[0]"
    assert "which is not supported here" in answer.json()["error"]["message"]


def test_what_is_explained_may_have_images(client: TestClient, engine: ScriptedEngine) -> None:
    body = {"model": "fake", "messages": [{"role": "user", "content": [image(b"cat")]}], "max_tokens": 1}
    assert client.post("/v1/decoding/explain", json={**body, "seed": 1}).status_code == 200
    assert "[***]" in prompt(engine)
    refused = client.post("/v1/decoding/explain", json={**body, "continue_from": [65] * 5000})
    assert refused.json()["error"]["param"] == "continue_from"


def test_a_batch_may_have_images(client: TestClient, engine: ScriptedEngine) -> None:
    body = {"model": "fake", "messages": [{"role": "user", "content": [image(b"cat")]}]}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
    made = client.post("/v1/files", files={"file": ("a.jsonl", json.dumps(line))}, data={"purpose": "batch"})
    asked = {"input_file_id": made.json()["id"], "endpoint": line["url"], "completion_window": "24h"}
    batch = client.post("/v1/batches", json=asked).json()
    wait_until(lambda: client.get(f"/v1/batches/{batch['id']}").json()["status"] == "completed")
    assert "[***]" in prompt(engine)


def test_a_run_that_fails_gives_its_images_up(
    client: TestClient, engine: ScriptedEngine, encoder: StandInEncoder
) -> None:
    engine.failure, engine.fail_after = EngineFailedError("It is lost."), 1
    body = {"model": "fake", "messages": [{"role": "user", "content": [image(b"cat")]}], "stream": True}
    assert "It is lost." in client.post("/v1/chat/completions", json=body).text
    assert encoder.num_held == 0


def test_bodies_have_room_for_the_largest_image(client: TestClient, engine: ScriptedEngine) -> None:
    """Where models see, that is, and where the operator has not said otherwise."""
    body = {"model": "fake", "messages": [{"role": "user", "content": "x" * (4 * 1024 * 1024)}]}
    assert client.post("/v1/chat/completions", json=body).status_code == 400
    with app_over(engine, HERMES) as blind:
        assert blind.post("/v1/chat/completions", json=body).status_code == 413
    said = Settings(max_body_bytes=4 * 1024 * 1024)
    with app_over(engine, model=seeing(engine, StandInEncoder()), settings=said) as limited:
        assert limited.post("/v1/chat/completions", json=body).status_code == 413


def test_stored_chats_keep_images(client: TestClient) -> None:
    part = image(b"cat", detail="low")
    made = chat(client, text("What?"), part, store=True)
    listed = client.get(f"/v1/chat/completions/{made['id']}/messages").json()["data"]
    assert listed[0]["content_parts"][1] == part


def test_conversations_keep_images(client: TestClient, engine: ScriptedEngine) -> None:
    cat = {"type": "input_image", "image_url": data_url(b"cat")}
    said = {"type": "message", "role": "user", "content": [cat]}
    name = client.post("/v1/conversations", json={"items": [said]}).json()["id"]
    asked = {"model": "fake", "input": "What is it?", "conversation": name}
    assert client.post("/v1/responses", json=asked).status_code == 200
    assert "user\n[***]<" in prompt(engine)
    (item,) = client.get(f"/v1/conversations/{name}/items?order=asc&limit=1").json()["data"]
    assert item["content"] == [{"detail": "auto", **cat}]


def test_background_responses_have_images(client: TestClient, engine: ScriptedEngine) -> None:
    cat = {"type": "input_image", "image_url": data_url(b"cat")}
    asked = {"model": "fake", "input": [{"role": "user", "content": [cat]}], "background": True}
    path = f"/v1/responses/{client.post('/v1/responses', json=asked).json()['id']}"
    wait_until(lambda: client.get(path).json()["status"] == "completed")
    assert "user\n[***]<" in prompt(engine)


def test_what_is_truncated_counts_images(client: TestClient, engine: ScriptedEngine) -> None:
    """Each has 60 cells, and the context 4096."""
    cat = {"type": "input_image", "image_url": data_url(b"x" * 60)}
    items = [{"role": "user", "content": [cat] * 10}, {"role": "assistant", "content": "Ten."}] * 8
    asked = {"model": "fake", "input": [*items, {"role": "user", "content": "All?"}]}
    refused = client.post("/v1/responses", json=asked)
    assert refused.json()["error"]["code"] == "context_length_exceeded"
    answer = client.post("/v1/responses", json={**asked, "truncation": "auto"})
    assert answer.status_code == 200, answer.text
    assert int(answer.headers["x-caravan-truncated"]) > 1
    assert 40 <= len(engine.requests[-1].media) < 80, "no more goes than has to"


def test_what_is_truncated_has_no_more_images_than_a_request_may_have(
    client: TestClient, engine: ScriptedEngine
) -> None:
    cat = {"type": "input_image", "image_url": data_url(b"x")}
    items = [{"role": "user", "content": [cat] * 20}, {"role": "assistant", "content": "Twenty."}] * 8
    asked = {"model": "fake", "input": [*items, {"role": "user", "content": [cat] * 3}]}
    refused = client.post("/v1/responses", json=asked)
    assert "one too many" in refused.json()["error"]["message"]
    answer = client.post("/v1/responses", json={**asked, "truncation": "auto"})
    assert answer.status_code == 200, answer.text
    assert 100 < len(engine.requests[-1].media) <= 128
