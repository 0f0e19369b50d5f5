"""Bodies as clients wrap them: packed, marked, and with halves of characters in them."""

import gzip
import json
import tracemalloc
import zlib
from collections.abc import Callable, Generator
from typing import Any

import pytest
from caravan.config.settings import Settings
from caravan.errors import RequestTooLargeError
from caravan.web.app import create_app
from caravan.web.body_encoding import decoded_body
from caravan_schemas.errors import ErrorResponse
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine, loaded_model, registry_over

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
LIMIT = 200_000
PLAIN = json.dumps({"model": "fake", "prompt": "Hi there " * 9}).encode()
REPLACED = "x-caravan-replaced"


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
def client(engine: ScriptedEngine) -> Generator[TestClient, None, None]:
    registry = registry_over(loaded_model(engine))
    with TestClient(
        create_app(Settings(max_body_bytes=LIMIT), registry), base_url="http://localhost"
    ) as client:
        assert client.portal is not None
        client.portal.call(registry.start)
        yield client


def bare_deflate(data: bytes) -> bytes:
    return zlib.compress(data, wbits=-zlib.MAX_WBITS)


def packed(client: TestClient, body: bytes, encoding: str) -> Any:  # noqa: ANN401 (Starlette's own client's)
    return client.post(TEXT, content=body, headers={"content-encoding": encoding})


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (gzip.compress(PLAIN, mtime=0), "gzip"),
        (gzip.compress(PLAIN, mtime=0), "X-GZip"),
        (zlib.compress(PLAIN), "deflate"),
        (bare_deflate(PLAIN), "deflate"),
        (PLAIN, "identity"),
        (PLAIN, ""),
        (b"\xef\xbb\xbf" + PLAIN, ""),
        (gzip.compress(b"\xef\xbb\xbf" + PLAIN, mtime=0), "gzip"),
    ],
)
def test_bodies_are_unpacked(client: TestClient, body: bytes, encoding: str) -> None:
    assert packed(client, body, encoding).json()["choices"] == packed(client, PLAIN, "").json()["choices"]


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "gzip;q=1", "x" * 5000, "exi"])
def test_other_encodings_are_a_415_that_says_which_are_not(client: TestClient, encoding: str) -> None:
    answer = packed(client, PLAIN, encoding)
    error = ErrorResponse.model_validate_json(answer.content).error
    assert (answer.status_code, error.code) == (415, "unsupported_content_encoding")
    assert answer.headers["accept-encoding"] == "gzip, deflate"
    assert len(error.message) < 300


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (PLAIN, "gzip"),
        (PLAIN, "deflate"),
        (gzip.compress(PLAIN, mtime=0)[:-9], "gzip"),
        (gzip.compress(PLAIN, mtime=0)[:-4] + b"1234", "gzip"),
        (gzip.compress(PLAIN, mtime=0) * 2, "gzip"),
        (gzip.compress(PLAIN, mtime=0), "deflate"),
        (b"", "gzip"),
        (b"", "deflate"),
        (b"\x78", "deflate"),
    ],
)
def test_what_is_no_whole_stream_is_a_400(client: TestClient, body: bytes, encoding: str) -> None:
    answer = packed(client, body, encoding)
    assert answer.status_code == 400
    assert encoding in ErrorResponse.model_validate_json(answer.content).error.message


@pytest.mark.parametrize(("pack", "encoding"), [(gzip.compress, "gzip"), (bare_deflate, "deflate")])
def test_a_bomb_is_a_413_before_it_goes_off(
    client: TestClient, pack: Callable[[bytes], bytes], encoding: str
) -> None:
    bomb = pack(b" " * 100_000_000)
    assert len(bomb) < LIMIT
    answer = packed(client, bomb, encoding)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")
    assert packed(client, pack(b" " * (LIMIT - len(PLAIN)) + PLAIN), encoding).status_code == 200
    tracemalloc.start()
    with pytest.raises(RequestTooLargeError):
        decoded_body(bomb, encoding, LIMIT)
    assert tracemalloc.get_traced_memory()[1] < 4 * LIMIT
    tracemalloc.stop()


# A half as it may be written, and what the model is shown: whole pairs stay.
HALVES = {
    rb"a\ud83d": "a\ufffd",
    rb"\uDE00b": "\ufffdb",
    rb"\ude00\ud83d": "\ufffd\ufffd",
    rb"\ud83d\ud83d\ude00": "\ufffd\U0001f600",
    rb"\\ud83d \ud83dx": "\\ud83d \ufffdx",
    b"a\xed\xa0\xbd": "a\ufffd",
    b"\xed\xa0\xbd\xed\xb8\x80 \xed\xb8\x80": "\U0001f600 \ufffd",
}


@pytest.mark.parametrize(("half", "shown"), HALVES.items())
def test_halves_are_replaced_and_told(
    client: TestClient, engine: ScriptedEngine, half: bytes, shown: str
) -> None:
    answer = client.post(TEXT, content=b'{"model": "fake", "prompt": "%b"}' % half)
    assert answer.status_code == 200
    assert bytes(engine.requests[-1].token_ids).decode() == shown
    assert answer.headers[REPLACED] == "prompt"


@pytest.mark.parametrize("text", [rb"\ud83d\ude00", rb"\\ud83d", "\U0001f600 \ufdd0".encode()])
def test_whole_characters_are_left_alone(client: TestClient, engine: ScriptedEngine, text: bytes) -> None:
    body = b'{"model": "fake", "prompt": "%b"}' % text
    answer = client.post(TEXT, content=body)
    assert bytes(engine.requests[-1].token_ids).decode() == json.loads(body)["prompt"]
    assert REPLACED not in answer.headers


H = "\ud83d"
USER = {"role": "user", "content": "Hi"}
CALL = {"id": H, "type": "function", "function": {"name": "f", "arguments": json.dumps({"a": H})}}
TOOL = {
    "type": "function",
    "function": {
        "name": "f",
        "description": H,
        "parameters": {
            "type": "object",
            "properties": {H: {"type": "string", "enum": [H], "description": H}},
        },
    },
}
PART = {"type": "text", "text": H}
FORM = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"const": H}}}
PLACES: list[tuple[dict[str, Any], str | None]] = [
    ({"messages": [{"role": "user", "content": H}]}, "messages[0].content"),
    (
        {"messages": [{"role": "user", "content": [PART]}]},
        "messages[0].content[0].text",
    ),
    (
        {"messages": [{"role": "system", "content": H}, {"role": "user", "content": "a"}]},
        "messages[0].content",
    ),
    ({"tools": [TOOL]}, None),
    ({"tools": [TOOL], "tool_choice": "required"}, None),
    (
        {
            "messages": [
                USER,
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": H, "content": H},
            ]
        },
        "messages[1].tool_calls[0].id, messages[2].tool_call_id, messages[2].content",
    ),
    ({"stop": H}, "stop"),
    ({"stop": ["a", H]}, "stop[1]"),
    ({"user": H}, "user"),
    ({"metadata": {H: H}}, None),
    ({"x_notes": H}, "x_notes"),
    (
        {"response_format": FORM},
        None,
    ),
    ({"guided_regex": H}, "guided_regex"),
    ({"guided_choice": [H, "b"]}, "guided_choice[0]"),
    ({"grammar": f'root ::= "{H}"'}, "grammar"),
    ({"logit_bias": [[H, 5]]}, None),
    ({"bad_words": [H]}, "bad_words[0]"),
    ({"dry_sequence_breakers": [H]}, "dry_sequence_breakers[0]"),
    ({"model": H}, "model"),
    ({"chat_template_kwargs": {"x": H}}, "chat_template_kwargs.x"),
]


@pytest.mark.parametrize(("fields", "places"), PLACES, ids=[next(iter(fields)) for fields, _ in PLACES])
@pytest.mark.parametrize("stream", [False, True])
def test_halves_anywhere_are_never_a_fault(
    client: TestClient, fields: dict[str, Any], places: str | None, stream: bool
) -> None:
    # Cut short, since the scripted engine pays no heed to constraints.
    body = {"model": "fake", "messages": [USER], "stream": stream, "max_tokens": 1} | fields
    answer = client.post(CHAT, content=json.dumps(body))
    assert answer.status_code < 500, answer.text
    answer.content.decode()
    if answer.status_code == 200:
        assert places is None or places in answer.headers[REPLACED].replace("%20", " ")


def test_halves_are_kept_out_of_responses_and_their_store(client: TestClient) -> None:
    body = {
        "model": "fake",
        "input": [{"role": "user", "content": H}],
        "instructions": H,
        "metadata": {"a": H},
    }
    answer = client.post("/v1/responses", content=json.dumps(body))
    assert answer.status_code == 200
    assert "input[0].content" in answer.headers[REPLACED]
    kept = client.get(f"/v1/responses/{answer.json()['id']}")
    assert kept.json()["instructions"] == "\ufffd"


@pytest.mark.parametrize(
    "fields",
    [{"content": H}, {"messages": [{"role": "user", "content": H}]}, {"input": H}, {"tokens": [1], H: 1}],
)
@pytest.mark.parametrize("route", ["/tokenize", "/apply-template", "/v1/embeddings", "/detokenize"])
def test_halves_on_other_routes(client: TestClient, route: str, fields: dict[str, Any]) -> None:
    answer = client.post(route, content=json.dumps({"model": "fake"} | fields))
    assert answer.status_code < 500


@pytest.mark.parametrize("body", [b"", b" \n", b"\xef\xbb\xbf"])
def test_an_empty_body_is_told_so(client: TestClient, body: bytes) -> None:
    answer = client.post(TEXT, content=body)
    assert answer.status_code == 400
    assert "empty" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/json; charset=latin-1", "multipart/form-data", ""]
)
def test_what_the_body_is_said_to_be_does_not_matter(client: TestClient, kind: str) -> None:
    assert client.post(TEXT, content=PLAIN, headers={"content-type": kind}).status_code == 200
