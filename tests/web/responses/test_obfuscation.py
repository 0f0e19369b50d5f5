"""Padded streams: by the size of an event nobody learns how long its text is."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine
from tests.web.chat_models import WEATHER, hermes
from tests.web.responding import URL as RESPONSES
from tests.web.routes.test_chat import events

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
BODIES: dict[str, dict[str, Any]] = {
    CHAT: {"model": "fake", "messages": [{"role": "user", "content": "x"}]},
    TEXT: {"model": "fake", "prompt": "x"},
    RESPONSES: {"model": "fake", "input": "x"},
}
# Of 1 to 12 bytes as JSON has them, which is what goes over the wire.
PIECES = ["a", " word", "twelve chars", '"', "\t.", "é中", "👩", "\\"]


def sent(client: TestClient, path: str, *, is_padded: bool = True, **fields: Any) -> list[str]:  # noqa: ANN401
    """The data of each event."""
    options = {"stream": True, "stream_options": {"include_obfuscation": is_padded}}
    answer = client.post(path, json={**BODIES[path], **options, **fields})
    assert answer.status_code == 200, answer.text
    return data(answer.text)


def data(text: str) -> list[str]:
    """The same of the text of a stream."""
    blocks = [line for line in text.split("\n") if not line.startswith("event: ")]
    return [event for event in events("\n".join(blocks)) if event != "[DONE]"]


def is_delta(path: str, event: str) -> bool:
    """Whether an event brings a piece of text."""
    document = json.loads(event)
    if path == RESPONSES:
        return bool(document["type"] == "response.output_text.delta")
    choice = document["choices"][0]
    return bool(choice["text"] if path == TEXT else choice["delta"].get("content"))


def plain(event: str) -> dict[str, Any]:
    """An event without what is new in each answer, nor padding."""
    document: dict[str, Any] = json.loads(event)
    return {k: v for k, v in document.items() if k not in ("id", "created", "item_id", "obfuscation")}


@pytest.mark.parametrize("path", BODIES)
def test_pieces_of_up_to_16_bytes_are_all_of_one_size(
    client: TestClient, engine: ScriptedEngine, path: str
) -> None:
    engine.script = lambda _request, _index: PIECES
    deltas = [event for event in sent(client, path) if is_delta(path, event)]
    bare = [event for event in sent(client, path, is_padded=False) if is_delta(path, event)]
    assert [plain(event) for event in deltas] == [plain(event) for event in bare]
    assert len(deltas) == len(PIECES)
    assert len({len(event.encode()) for event in bare}) > 3
    # A sequence number has one digit, or two: that is no secret.
    widths = {(len(event.encode()), len(str(json.loads(event).get("sequence_number")))) for event in deltas}
    assert len(widths) == len({width for _, width in widths})
    assert not any("obfuscation" in event for event in bare)


@pytest.mark.parametrize("path", BODIES)
def test_longer_pieces_are_rounded_up(client: TestClient, engine: ScriptedEngine, path: str) -> None:
    engine.script = lambda _request, _index: ["a" * count for count in (14, 15, 30, 31)]
    sizes = [len(event) for event in sent(client, path) if is_delta(path, event)]
    # With its quotes a text of 14 letters has 16 bytes.
    assert [size - sizes[0] for size in sizes] == [0, 16, 16, 32]


def test_padding_is_random_and_all_that_is_said_is_padded(client: TestClient, engine: ScriptedEngine) -> None:
    call = hermes("get_weather", '{"city": "Paris"}')
    said = f"<think>\nHm.\n</think>\n\nI look.\n{call}"
    engine.script = lambda _request, _index: [said[i : i + 5] for i in range(0, len(said), 5)]
    flat = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}}
    tools: dict[str, object] = {CHAT: WEATHER, RESPONSES: flat}
    for path, tool in tools.items():
        found = [json.loads(event) for event in sent(client, path, tools=[tool])]
        paddings = [event["obfuscation"] for event in found if event.get("obfuscation")]
        assert len(set(paddings)) > len(paddings) // 2
        padded = [event for event in found if "obfuscation" in event]
        if path == CHAT:
            assert padded == found
        else:
            assert padded == [event for event in found if event["type"].endswith(".delta")]
            assert len({event["type"] for event in padded}) == 3


def test_what_is_told_of_tokens_counts_too(client: TestClient, engine: ScriptedEngine) -> None:
    engine.script = lambda _request, _index: ["a", '"', "d"]
    for path, fields in ((CHAT, {"logprobs": True, "return_token_ids": True}), (TEXT, {"logprobs": 1})):
        deltas = [event for event in sent(client, path, **fields) if is_delta(path, event)]
        bare = [event for event in sent(client, path, is_padded=False, **fields) if is_delta(path, event)]
        assert len({len(event) % 16 for event in bare}) > 1
        assert len({len(event) % 16 for event in deltas}) == 1


def test_a_background_stream_is_stored_bare_and_padded_for_those_who_ask(
    client: TestClient, engine: ScriptedEngine
) -> None:
    engine.script = lambda _request, _index: PIECES
    first = sent(client, RESPONSES, background=True)
    url = f"{RESPONSES}/{json.loads(first[0])['response']['id']}"
    bare = data(client.get(url, params={"stream": "true"}).text)
    padded = data(client.get(url, params={"stream": "true", "include_obfuscation": "true"}).text)
    assert not any("obfuscation" in event for event in bare)
    assert [plain(event) for event in first] == [plain(event) for event in bare]
    assert [plain(event) for event in padded] == [plain(event) for event in bare]
    assert [len(event) for event in padded] == [len(event) for event in first]
