"""Images in requests of all protocols, over a stand-in for the encoder and a scripted engine."""

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from caravan.config.settings import Settings
from caravan.engine.embedding.values import ModelTraits
from caravan.errors import EngineFailedError
from fastapi.testclient import TestClient
from pydantic import ByteSize

from tests.fakes_web import ScriptedEngine
from tests.waiting import wait_until
from tests.web.chat_models import HERMES, app_over
from tests.web.images import StandInEncoder, data_url, image, prompt, seeing, text

USER = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
SPEECH = "/v1/audio/transcriptions"
PART = "messages[0].content[{}]"
Fields = dict[str, Any]


@pytest.fixture
def encoder() -> StandInEncoder:
    return StandInEncoder()


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(lambda _request, _index: ["It is ", "a cat."], context_size=4096)


@pytest.fixture
def client(engine: ScriptedEngine, encoder: StandInEncoder) -> Iterator[TestClient]:
    settings = Settings(responses_db=Path("memory"), max_image_bytes=ByteSize(64))
    with app_over(engine, model=seeing(engine, encoder), settings=settings) as client:
        yield client


@pytest.fixture(autouse=True)
def _nothing_is_left(encoder: StandInEncoder, client: TestClient) -> Iterator[None]:
    """Embeddings are held by nobody once their requests have ended, however they ended."""
    assert client
    yield
    assert encoder.num_held == 0


def chat(client: TestClient, *parts: object, **fields: object) -> Fields:
    body = {"model": "fake", "messages": [{"role": "user", "content": list(parts)}], **fields}
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    data: Fields = answer.json()
    return data


def refusal(client: TestClient, part: object, path: str = "/v1/chat/completions") -> tuple[int, str, str]:
    body = {"model": "fake", "messages": [{"role": "user", "content": [text("a"), part]}]}
    answer = client.post(path, json=body)
    error = answer.json()["error"]
    return answer.status_code, error["param"], error["message"]


def test_an_image_takes_the_place_where_it_stands(
    client: TestClient, engine: ScriptedEngine, encoder: StandInEncoder
) -> None:
    answer = chat(client, text("What is "), image(b"cat", detail="low"), text("?"))
    assert prompt(engine) == USER.format("What is [***]?")
    (run,) = engine.requests[-1].media
    assert (run.key, run.is_causal) == (hashlib.md5(b"cat").digest(), True)
    assert [(m.kind, m.data, m.detail, param) for m, _, param in encoder.asked] == [
        ("image", b"cat", "low", "messages[0].content[1].image_url")
    ]
    assert answer["usage"]["prompt_tokens_details"]["image_tokens"] == 5
    assert answer["usage"]["prompt_tokens"] == len(engine.requests[-1].token_ids)
    assert answer["choices"][0]["message"]["content"] == "It is a cat."


def test_several_images_in_several_messages(client: TestClient, engine: ScriptedEngine) -> None:
    messages = [
        {"role": "system", "content": "See."},
        {"role": "user", "content": [image(b"a"), text(" and "), image(b"bb")]},
        {"role": "assistant", "content": "Two."},
        {"role": "user", "content": [{"type": "image_url", "image_url": data_url(b"ccc")}]},
    ]
    answer = client.post("/v1/chat/completions", json={"model": "fake", "messages": messages})
    assert answer.status_code == 200
    shown = prompt(engine)
    assert "user\n[*] and [**]<" in shown
    assert "user\n[***]<" in shown
    assert [run.num_cells for run in engine.requests[-1].media] == [1, 2, 3]


def test_a_tool_may_answer_with_an_image(client: TestClient, engine: ScriptedEngine) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": [text("seen: "), image(b"xy")]},
    ]
    answer = client.post("/v1/chat/completions", json={"model": "fake", "messages": messages})
    assert answer.status_code == 200
    assert "seen: [**]" in prompt(engine)


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 3},
        {"stream": True},
        {"response_format": {"type": "json_object"}},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"prediction": {"type": "content", "content": "It is a cat."}},
        {"store": True},
        {"cache_prompt": False},
        {"prompt_logprobs": 1, "max_tokens": 1},
        {"return_token_ids": True},
    ],
    ids=str,
)
def test_images_go_with_all_else(client: TestClient, engine: ScriptedEngine, fields: Fields) -> None:
    body = {"model": "fake", "messages": [{"role": "user", "content": [image(b"cat")]}], **fields}
    engine.script = lambda _request, _index: ["{}"]
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    assert "[***]" in prompt(engine)
    assert len(engine.requests) == 1


def test_words_of_a_request_stand_for_no_image(client: TestClient, engine: ScriptedEngine) -> None:
    chat(client, text("<__media__> media0z"), image(b"a"))
    assert prompt(engine) == USER.format("<__media__> media0z[*]")


def test_templates_of_parts_show_images(engine: ScriptedEngine, encoder: StandInEncoder) -> None:
    template = (
        "{% for message in messages %}{{ message.role }}:{% for part in message.content %}"
        "{{ part.text | trim }}{% endfor %};{% endfor %}"
    )
    with app_over(engine, model=seeing(engine, encoder, template=template)) as client:
        chat(client, text(" a"), image(b"b"))
    assert prompt(engine) == "user:a[*];"


def test_a_template_that_leaves_an_image_out_is_told_of(
    engine: ScriptedEngine, encoder: StandInEncoder
) -> None:
    template = (
        "{% for message in messages %}{{ message.role }}:{{ message.content.split('media')[0] }};{% endfor %}"
    )
    with app_over(engine, model=seeing(engine, encoder, template=template)) as client:
        status, param, message = refusal(client, image(b"b"))
    assert (status, param) == (400, "messages[0].content[1].image_url")
    assert "does not show it" in message
    assert not encoder.asked


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://example.org/a.png", "fetches no images"),
        ("http://127.0.0.1/a.png", "fetches no images"),
        ("file:///etc/passwd", "is no data URL"),
        ("/etc/passwd", "is no data URL"),
        ("data:image/png;base64", "without data"),
        ("data:image/png,abc", "not in Base64"),
        ("data:image/png;base64,", "is empty"),
        ("data:image/png;base64,ab c", "not valid Base64"),
        ("data:image/png;base64,YQ", "not valid Base64"),
        ("data:image/png;base64,YQ==YQ==", "not valid Base64"),
        ("data:image/png;base64,\u00e4\u00e4\u00e4\u00e4", "not valid Base64"),
        ("data:image/svg+xml;base64,YWJj", "is an SVG"),
        ("data:text/html;base64,YWJj", "which is no image"),
        (data_url(b"x" * 65), "more than 64 bytes"),
        (data_url(b"x" * 9999), "more than 64 bytes"),
        (data_url(b"broken"), "is no image that can be read"),
        ("", "is no data URL"),
    ],
)
def test_what_is_no_image_is_refused_by_its_name(client: TestClient, url: str, words: str) -> None:
    for given in (url, {"url": url}):
        status, param, message = refusal(client, {"type": "image_url", "image_url": given})
        assert (status, param) == (400, "messages[0].content[1].image_url")
        assert message.startswith(f"'{param}' ")
        assert words in message
        assert message.endswith(".")


def test_an_encoder_may_be_busy_or_lost(client: TestClient, engine: ScriptedEngine) -> None:
    assert refusal(client, image(b"busy"))[0] == 503
    assert refusal(client, image(b"killed"))[0] == 500
    assert not engine.requests


def test_what_is_computed_at_once_has_to_fit(
    client: TestClient, engine: ScriptedEngine, encoder: StandInEncoder
) -> None:
    engine.traits = ModelTraits(most_at_once=5)
    chat(client, image(b"123456"))
    encoder.is_causal = False
    chat(client, image(b"12345"))
    status, param, message = refusal(client, image(b"123456"))
    assert (status, param) == (400, PART.format(1) + ".image_url")
    assert "6 tokens" in message


def test_one_broken_image_costs_no_memory_of_others(client: TestClient, engine: ScriptedEngine) -> None:
    body = {"model": "fake", "messages": [{"role": "user", "content": [image(b"a"), image(b"broken")]}]}
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.json()["error"]["param"] == "messages[0].content[1].image_url"
    assert not engine.requests


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": [{"role": "user", "content": [image(b"a"), text("b" * 5000)]}]}, "messages"),
        ({"json_schema": {"type": 5}}, "json_schema"),
        ({"truncate_prompt_tokens": 5}, "truncate_prompt_tokens"),
        (
            {"messages": [{"role": "user", "content": [image(b"a")] * 129}]},
            "messages[0].content[128].image_url",
        ),
        ({"temperature": -5}, "temperature"),
        ({"prompt_logprobs": 1, "stream": True}, "prompt_logprobs"),
    ],
)
def test_what_else_is_wrong_is_refused_as_ever(client: TestClient, fields: Fields, param: str) -> None:
    body = {"model": "fake", "messages": [{"role": "user", "content": [image(b"cat")]}], **fields}
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"].startswith(param)


def test_a_model_without_a_projector_says_so(engine: ScriptedEngine) -> None:
    with app_over(engine, HERMES) as client:
        status, param, message = refusal(client, image(b"cat"))
        assert (status, param) == (400, "messages[0].content[1].image_url")
        assert "has no projector" in message
        assert "--mmproj" in message


def test_sounds_are_for_projectors_that_hear(client: TestClient, encoder: StandInEncoder) -> None:
    sound = {"type": "input_audio", "input_audio": {"data": "YWJj", "format": "wav"}}
    status, param, message = refusal(client, sound)
    assert (status, param) == (400, "messages[0].content[1].input_audio")
    assert "reads no sounds" in message
    encoder.modalities = frozenset({"image", "audio"})
    details = chat(client, sound)["usage"]["prompt_tokens_details"]
    assert (details["audio_tokens"], details["image_tokens"]) == (5, 0)
    assert encoder.asked[-1][0].data == b"abc"


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


def wav(**fields: str) -> Fields:
    return {"files": {"file": ("speech.wav", b"RIFF")}, "data": {"model": "fake", **fields}}


def test_speech_into_text(client: TestClient, engine: ScriptedEngine, encoder: StandInEncoder) -> None:
    encoder.modalities = frozenset({"audio"})
    engine.script = lambda _request, _index: [" Good ", "morning. "]
    answer = client.post(SPEECH, **wav(language="en", prompt="A greeting.", temperature="0.5"))
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["text"] == "Good morning."
    assert told["usage"]["input_token_details"]["audio_tokens"] == 6
    assert told["usage"]["input_tokens"] == len(engine.requests[-1].token_ids)
    assert "[****]Write down" in prompt(engine)
    assert "The language is 'en'.\nWhat to know of it: A greeting.<" in prompt(engine)
    assert engine.requests[-1].params.temperature == 0.5
    plain = client.post(SPEECH, **wav(response_format="text"))
    assert plain.text == "Good morning.\n"
    assert plain.headers["content-type"].startswith("text/plain")
    assert encoder.asked[-1][0].data == b"RIFF"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"response_format": "verbose_json"}, "response_format"),
        ({"response_format": "srt"}, "response_format"),
        ({"response_format": "xml"}, "response_format"),
        ({"timestamp_granularities[]": "word"}, "timestamp_granularities"),
        ({"stream": "true"}, "stream"),
        ({"temperature": "hot"}, "temperature"),
        ({}, "file"),
    ],
)
def test_speech_that_cannot_be_written_down(client: TestClient, fields: Fields, param: str) -> None:
    """The last one is sent to a model that does not hear."""
    answer = client.post(SPEECH, **wav(**fields))
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param


def test_speech_of_too_many_bytes(client: TestClient, encoder: StandInEncoder) -> None:
    encoder.modalities = frozenset({"audio"})
    answer = client.post(SPEECH, files={"file": ("speech.wav", b"x" * 65)}, data={"model": "fake"})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "'file' has more than 64 bytes."


def test_bodies_have_room_for_the_largest_image(client: TestClient, engine: ScriptedEngine) -> None:
    """Where models see, that is, and where the operator has not said otherwise."""
    body = {"model": "fake", "messages": [{"role": "user", "content": "x" * (4 * 1024 * 1024)}]}
    assert client.post("/v1/chat/completions", json=body).status_code == 400
    with app_over(engine, HERMES) as blind:
        assert blind.post("/v1/chat/completions", json=body).status_code == 413
    said = Settings(max_body_bytes=4 * 1024 * 1024)
    with app_over(engine, model=seeing(engine, StandInEncoder()), settings=said) as limited:
        assert limited.post("/v1/chat/completions", json=body).status_code == 413
