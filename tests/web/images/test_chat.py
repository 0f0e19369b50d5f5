"""Images in chats, over a stand-in for the encoder and a scripted engine."""

import hashlib

import pytest
from caravan.engine.embedding.values import ModelTraits
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine
from tests.web.chat_models import HERMES, app_over
from tests.web.images import (
    USER,
    Fields,
    StandInEncoder,
    chat,
    data_url,
    image,
    prompt,
    refusal,
    seeing,
    text,
)

PART = "messages[0].content[{}]"


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


def test_images_beyond_the_context_are_not_encoded(client: TestClient, encoder: StandInEncoder) -> None:
    parts = [image(bytes([number + 1]) * 60) for number in range(120)]
    body = {"model": "fake", "messages": [{"role": "user", "content": parts}]}
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.json()["error"]["code"] == "context_length_exceeded"
    assert len(encoder.asked) < 80
