"""Bodies that must cost their sender a clear refusal, and nobody else anything."""

import json
from collections.abc import Generator

import pytest
from caravan.config.settings import Settings
from caravan.web.app import create_app
from caravan_schemas.errors import ErrorResponse
from fastapi.testclient import TestClient

from tests.fakes_web import loaded_model, registry_over

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
USER = {"role": "user", "content": "Hi"}


@pytest.fixture(scope="module")
def client() -> Generator[TestClient, None, None]:
    """One app for all cases: what one body breaks, the next one sees."""
    registry = registry_over(loaded_model())
    with TestClient(
        create_app(Settings(max_body_bytes=2_000_000), registry), base_url="http://localhost"
    ) as client:
        assert client.portal is not None
        client.portal.call(registry.start)
        yield client


def chat(**fields: object) -> bytes:
    return json.dumps({"model": "fake", "messages": [USER], **fields}).encode()


def text(**fields: object) -> bytes:
    return json.dumps({"model": "fake", "prompt": "Hi", **fields}).encode()


def raw_chat(fields: str) -> bytes:
    return b'{"model": "fake", "messages": [{"role": "user", "content": "Hi"}], %b}' % fields.encode()


def message(**fields: object) -> bytes:
    return chat(messages=[USER, fields])


# Name, body, and the field that the refusal must name.
NOT_JSON: list[tuple[str, bytes]] = [
    ("empty", b""),
    ("blank", b"  \n"),
    ("a word", b"hello"),
    ("an open brace", b"{"),
    ("a cut string", b'{"model": "fa'),
    ("a trailing comma", b'{"model": "fake",}'),
    ("single quotes", b"{'model': 'fake'}"),
    ("a form", b"model=fake&prompt=hi"),
    ("two documents", text() + text()),
    ("invalid UTF-8", b'{"model": "\xff\xfe"}'),
    ("an overlong NUL", b'{"model": "\xc0\x80"}'),
    ("UTF-16", text().decode().encode("utf-16")),
    ("a NUL byte", b"\x00"),
    ("a raw newline in a string", b'{"model": "a\nb"}'),
    ("arrays 100,000 deep", b"[" * 100_000),
    ("closed arrays 100,000 deep", b"[" * 100_000 + b"]" * 100_000),
    ("objects 100,000 deep", b'{"a":' * 100_000),
    ("depth inside a field", b'{"model": "fake", "x": ' + b"[" * 5000 + b"]" * 5000 + b"}"),
    ("a number of 5,000 digits", raw_chat('"seed": ' + "9" * 5000)),
    ("half a character in no JSON", b'{"model": "\\ud800",}'),
    ("half an escape", b'{"model": "\\ud80'),
    ("a bad escape", raw_chat('"user": "\\x41"')),
    ("a hexadecimal number", raw_chat('"seed": 0x10')),
    ("a leading zero", raw_chat('"seed": 007')),
]
WRONG_VALUES: list[tuple[str, str, bytes, str | None]] = [
    ("null", CHAT, b"null", None),
    ("a number", CHAT, b"17", None),
    ("a string", CHAT, b'"hello"', None),
    ("an array", CHAT, b"[]", None),
    ("an empty object", CHAT, b"{}", "messages"),
    ("an empty object", TEXT, b"{}", "prompt"),
    ("no messages", CHAT, b'{"model": "fake"}', "messages"),
    ("no prompt", TEXT, b'{"model": "fake"}', "prompt"),
    ("empty messages", CHAT, chat(messages=[]), "messages"),
    ("messages null", CHAT, chat(messages=None), "messages"),
    ("messages a string", CHAT, chat(messages="Hi"), "messages"),
    ("messages an object", CHAT, chat(messages=USER), "messages"),
    ("a message that is a string", CHAT, chat(messages=["Hi"]), "messages[0]"),
    ("a message that is null", CHAT, chat(messages=[USER, None]), "messages[1]"),
    ("a message without role", CHAT, message(content="x"), "messages[1].role"),
    ("an unknown role", CHAT, message(role="robot", content="x"), "messages[1].role"),
    ("a role that is a list", CHAT, message(role=["user"], content="x"), "messages[1].role"),
    ("a role like a tag", CHAT, message(role="<user>", content="x"), "messages[1].role"),
    ("no content", CHAT, message(role="user"), "messages[1].content"),
    ("content null", CHAT, message(role="user", content=None), "messages[1].content"),
    ("assistant content null", CHAT, message(role="assistant", content=None), "messages[1].content"),
    ("content a number", CHAT, message(role="user", content=5), "messages[1].content"),
    ("content an object", CHAT, message(role="user", content={"text": "x"}), "messages[1].content"),
    ("no parts", CHAT, message(role="user", content=[]), "messages[1].content"),
    ("a part that is a string", CHAT, message(role="user", content=["x"]), "messages[1].content[0]"),
    (
        "a part without text",
        CHAT,
        message(role="user", content=[{"type": "text"}]),
        "messages[1].content[0].text",
    ),
    (
        "a part with text null",
        CHAT,
        message(role="user", content=[{"type": "text", "text": None}]),
        "messages[1].content[0].text",
    ),
    (
        "a part of no type",
        CHAT,
        message(role="user", content=[{"text": "x"}]),
        "messages[1].content[0]",
    ),
    (
        "a part of a list's type",
        CHAT,
        message(role="user", content=[{"type": ["text"], "text": "x"}]),
        "messages[1].content[0]",
    ),
    ("a tool message without id", CHAT, message(role="tool", content="x"), "messages[1].tool_call_id"),
    ("model a number", CHAT, chat(model=7), "model"),
    ("temperature a string", CHAT, chat(temperature="0.5"), "temperature"),
    ("temperature true", CHAT, chat(temperature=True), "temperature"),
    ("temperature NaN", CHAT, raw_chat('"temperature": NaN'), "temperature"),
    ("temperature infinite", CHAT, raw_chat('"temperature": Infinity'), "temperature"),
    ("temperature minus infinite", CHAT, raw_chat('"temperature": -Infinity'), "temperature"),
    ("temperature 1e999", CHAT, raw_chat('"temperature": 1e999'), "temperature"),
    ("temperature below", CHAT, chat(temperature=-0.01), "temperature"),
    ("temperature above", CHAT, chat(temperature=100.1), "temperature"),
    ("top_p negative", CHAT, chat(top_p=-0.1), "top_p"),
    ("top_p above", CHAT, chat(top_p=1.5), "top_p"),
    ("top_k negative", CHAT, chat(top_k=-2), "top_k"),
    ("top_k a fraction", CHAT, chat(top_k=1.5), "top_k"),
    ("top_k too large", CHAT, chat(top_k=2**31), "top_k"),
    ("min_p above", CHAT, chat(min_p=1.1), "min_p"),
    ("min_p NaN", TEXT, b'{"model": "fake", "prompt": "Hi", "min_p": NaN}', "min_p"),
    ("seed too large", CHAT, chat(seed=2**63), "seed"),
    ("seed of 1,000 digits", CHAT, raw_chat('"seed": ' + "9" * 1000), "seed"),
    ("seed a fraction", CHAT, chat(seed=0.5), "seed"),
    ("max_tokens 0", CHAT, chat(max_tokens=0), "max_tokens"),
    ("max_tokens negative", TEXT, text(max_tokens=-2), "max_tokens"),
    ("max_tokens huge", TEXT, text(max_tokens=10**30), "max_tokens"),
    ("max_tokens a string", TEXT, text(max_tokens="5"), "max_tokens"),
    ("max_completion_tokens 0", CHAT, chat(max_completion_tokens=0), "max_completion_tokens"),
    ("n 0", CHAT, chat(n=0), "n"),
    ("n above the limit", CHAT, chat(n=17), "n"),
    ("n huge", CHAT, chat(n=2**31), "n"),
    ("stop with a number", CHAT, chat(stop=["a", 1]), "stop[1]"),
    ("stop a number", CHAT, chat(stop=1), "stop"),
    ("stop with a number", CHAT, chat(stop=["a", 1]), "stop[1]"),
    ("stop of 17", CHAT, chat(stop=["a"] * 17), "stop"),
    ("stop too long", CHAT, chat(stop="a" * 1025), "stop"),
    ("a bias of NaN", CHAT, raw_chat('"logit_bias": {"5": NaN}'), "logit_bias"),
    ("a bias of infinity", CHAT, raw_chat('"logit_bias": {"5": -Infinity}'), "logit_bias"),
    ("a bias that is a list", CHAT, chat(logit_bias={"5": [1]}), "logit_bias"),
    ("a bias for a token of 1,000 digits", CHAT, chat(logit_bias={"9" * 1000: 1}), "logit_bias"),
    ("a bias for a long text", CHAT, chat(logit_bias={"x" * 1001: 1}), "logit_bias"),
    ("biases of 60,000 tokens", TEXT, text(logit_bias={str(i): 1 for i in range(60_000)}), "logit_bias"),
    ("a bias list 150 deep", TEXT, text(logit_bias=json.loads("[" * 150 + "]" * 150)), "logit_bias"),
    ("100,000 bad words", TEXT, text(bad_words=["x"] * 100_000), "bad_words"),
    ("a bad word of 1 MB", TEXT, text(bad_words=["x" * 1_000_000]), "bad_words[0]"),
    ("200,000 allowed tokens", TEXT, text(allowed_token_ids=[1] * 200_000), "allowed_token_ids"),
    ("200,000 stop tokens", TEXT, text(stop_token_ids=[1] * 200_000), "stop_token_ids"),
    ("100,000 samplers", TEXT, text(samplers=["top_k"] * 100_000), "samplers"),
    ("a sampler of 1 MB", TEXT, text(samplers=["x" * 1_000_000]), "samplers[0]"),
    ("100,000 breakers", TEXT, text(dry_sequence_breakers=["x"] * 100_000), "dry_sequence_breakers"),
    ("a preset of 1 MB", TEXT, text(preset="x" * 1_000_000), "preset"),
    ("max_time NaN", TEXT, b'{"model": "fake", "prompt": "Hi", "max_time": NaN}', "max_time"),
    ("mirostat_tau infinite", CHAT, raw_chat('"mirostat": 2, "mirostat_tau": 1e999'), "mirostat_tau"),
    ("debug with a misspelt name", CHAT, chat(debug={"decodin": 1}), "debug.decodin"),
    ("stream a string", CHAT, chat(stream="true"), "stream"),
    ("stream a number", CHAT, chat(stream=1), "stream"),
    ("stream options without stream", CHAT, chat(stream_options={"include_usage": True}), "stream_options"),
    ("stream options a list", CHAT, chat(stream=True, stream_options=[]), "stream_options"),
    (
        "include_usage a number",
        CHAT,
        chat(stream=True, stream_options={"include_usage": 1}),
        "stream_options.include_usage",
    ),
    ("user a number", CHAT, chat(user=5), "user"),
    ("prompt null", TEXT, text(prompt=None), "prompt"),
    ("prompt empty, and no BOS", TEXT, text(prompt=""), "prompt"),
    ("prompt a number", TEXT, text(prompt=5), "prompt"),
    ("prompt true", TEXT, text(prompt=True), "prompt"),
    ("prompt an object", TEXT, text(prompt={"text": "x"}), "prompt"),
    ("no prompts", TEXT, text(prompt=[]), "prompt"),
    ("an empty prompt of ids", TEXT, text(prompt=[[]]), "prompt[0]"),
    ("prompts with an empty one", TEXT, text(prompt=["x", ""]), "prompt[1]"),
    ("prompts of two kinds", TEXT, text(prompt=["x", 5]), "prompt[1]"),
    ("ids of two kinds", TEXT, text(prompt=[5, "x"]), "prompt[1]"),
    ("ids with a fraction", TEXT, text(prompt=[5, 1.5]), "prompt[1]"),
    ("ids with null", TEXT, text(prompt=[5, None]), "prompt[1]"),
    ("a boolean id", TEXT, text(prompt=[True]), "prompt[0]"),
    ("a negative id", TEXT, text(prompt=[1, -1]), "prompt[1]"),
    ("an id beyond the vocabulary", TEXT, text(prompt=[1, 259]), "prompt[1]"),
    ("an id beyond 32 bits", TEXT, text(prompt=[2**32]), "prompt[0]"),
    ("a bad id in a second prompt", TEXT, text(prompt=[[1], [1, 2, 259]]), "prompt[1][2]"),
    ("too many prompts", TEXT, text(prompt=["x"] * 129), "prompt"),
]


@pytest.mark.parametrize(
    ("depth", "code"), [(200, None), (201, "nested_too_deeply"), (500, "nested_too_deeply")]
)
def test_valid_json_that_is_nested_too_deeply_is_told_as_that(
    client: TestClient, depth: int, code: str | None
) -> None:
    deep = raw_chat('"metadata_of_mine": ' + "[" * depth + "]" * depth)
    response = client.post(CHAT, content=deep)
    if code is None:
        assert response.status_code == 200
    else:
        error = ErrorResponse.model_validate_json(response.content).error
        assert (response.status_code, error.code) == (400, code)
        assert "200 levels" in error.message


@pytest.mark.parametrize("url", [CHAT, TEXT])
@pytest.mark.parametrize("body", [case[1] for case in NOT_JSON], ids=[case[0] for case in NOT_JSON])
def test_what_is_not_json_is_a_400(client: TestClient, url: str, body: bytes) -> None:
    response = client.post(url, content=body)
    assert response.status_code == 400
    error = ErrorResponse.model_validate_json(response.content).error
    assert error.type == "invalid_request_error"
    assert "JSON" in error.message


@pytest.mark.parametrize(
    ("url", "body", "param"),
    [case[1:] for case in WRONG_VALUES],
    ids=[f"{case[0]} {case[1]}" for case in WRONG_VALUES],
)
def test_a_wrong_value_is_a_400_that_names_the_field(
    client: TestClient, url: str, body: bytes, param: str | None
) -> None:
    response = client.post(url, content=body)
    assert response.status_code == 400, response.text
    error = ErrorResponse.model_validate_json(response.content).error
    assert error.type == "invalid_request_error"
    assert error.param == param
    assert param is None or f"'{param}'" in error.message
    assert len(error.message) < 300, "one clear sentence, not a dump"


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "fake", "prompt": "' + b"x" * 2_000_000 + b'"}',
        b" " * 2_000_001,
        b"[" * 2_000_001,
    ],
    ids=["a long prompt", "blanks", "brackets"],
)
def test_a_body_over_the_limit_is_a_413(client: TestClient, body: bytes) -> None:
    response = client.post(TEXT, content=body)
    assert response.status_code == 413
    assert ErrorResponse.model_validate_json(response.content).error.code == "request_too_large"


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "fake", "prompt": "Hi", %b}' % b",".join(b'"k%d": 1' % i for i in range(100_000)),
        text(prompt=[259] * 250_000),
        text(prompt=["x"] * 250_000),
        text(prompt="a" * 1_900_000),
        text(stop=["a"] * 300_000),
        chat(messages=[5] * 300_000),
        chat(messages=[{"role": "user"}] * 60_000),
        chat(messages=[USER] * 50_000),
        chat(**{"x" * 1_000_000: 1}),
        chat(model="x" * 1_000_000),
    ],
    ids=[
        "100,000 unknown fields",
        "250,000 bad ids",
        "250,000 prompts",
        "a prompt of 1.9 MB",
        "300,000 stop strings",
        "300,000 bad messages",
        "60,000 messages without content",
        "50,000 messages",
        "a field name of 1 MB",
        "a model name of 1 MB",
    ],
)
@pytest.mark.parametrize("url", [CHAT, TEXT])
def test_large_bodies_are_refused_in_short_words(client: TestClient, url: str, body: bytes) -> None:
    response = client.post(url, content=body)
    assert response.status_code in (400, 404)
    assert len(ErrorResponse.model_validate_json(response.content).error.message) < 600


def test_a_body_announced_as_too_large_is_refused_before_it_comes(client: TestClient) -> None:
    asked = []

    def body() -> Generator[bytes, None, None]:
        asked.append(True)
        yield b"{"

    response = client.post(TEXT, content=body(), headers={"content-length": "99999999999999999999"})
    assert response.status_code == 413
    assert not asked


def test_the_content_type_does_not_matter(client: TestClient) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "nonsense"):
        response = client.post(TEXT, content=text(), headers={"content-type": content_type})
        assert response.status_code == 200
    assert client.post(TEXT, content=text()).status_code == 200


def test_of_duplicate_keys_the_last_one_counts(client: TestClient) -> None:
    answer = client.post(TEXT, content=b'{"model": "none", "model": "fake", "prompt": "Hi"}')
    assert answer.status_code == 200
