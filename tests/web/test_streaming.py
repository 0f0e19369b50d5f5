"""Streams and departures over a real server: order in time, errors, keep-alives, clients that leave."""

import json
import socket
from collections.abc import Iterator

import httpx
import pytest
from caravan.errors import EngineFailedError, EngineUnavailableError
from caravan_schemas.errors import ErrorResponse

from tests.fakes_web import ScriptedEngine
from tests.waiting import PATIENCE, wait_until

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
BODIES: dict[str, dict[str, object]] = {
    CHAT: {"model": "fake", "messages": [{"role": "user", "content": "Hi"}]},
    TEXT: {"model": "fake", "prompt": "Hi"},
}
routes = pytest.mark.parametrize("path", [CHAT, TEXT])


def streamed(path: str) -> dict[str, object]:
    return {**BODIES[path], "stream": True}


def lines(response: httpx.Response) -> Iterator[str]:
    """Lines that say something, as they come."""
    return (line for line in response.iter_lines() if line)


@routes
def test_text_leaves_while_the_engine_still_works(live: str, engine: ScriptedEngine, path: str) -> None:
    engine.hold_after = 1
    with httpx.stream("POST", live + path, json=streamed(path)) as response:
        arrived = lines(response)
        while "prompt of" not in (line := next(arrived)):
            pass
        assert engine.running, "the first piece came before the last was made"
        engine.hold_after = None
        assert list(arrived)[-1] == "data: [DONE]"
    assert not engine.aborted
    assert line.startswith("data: ")


@routes
def test_keep_alives_come_while_the_stream_is_silent(
    talkative: str, engine: ScriptedEngine, path: str
) -> None:
    engine.hold_after = 1
    with httpx.stream("POST", talkative + path, json=streamed(path)) as response:
        arrived = lines(response)
        for _ in range(2):
            while not next(arrived).startswith(": keep-alive"):
                pass
        engine.hold_after = None
        # One more may fall between the last event and the end.
        assert [line for line in arrived if not line.startswith(":")][-1] == "data: [DONE]"


@routes
def test_keep_alives_come_before_the_first_token_too(
    talkative: str, engine: ScriptedEngine, path: str
) -> None:
    engine.hold_after = 0
    with httpx.stream("POST", talkative + path, json=streamed(path)) as response:
        assert response.status_code == 200
        arrived = lines(response)
        while not next(arrived).startswith(": keep-alive"):
            pass
        engine.hold_after = None
        assert [line for line in arrived if not line.startswith(":")][-1] == "data: [DONE]"


@routes
@pytest.mark.parametrize("stream", [False, True])
def test_an_error_before_the_first_token_is_a_status(
    live: str, engine: ScriptedEngine, path: str, stream: bool
) -> None:
    engine.failure = EngineUnavailableError("restarting", retry_after=7)
    response = httpx.post(live + path, json={**BODIES[path], "stream": stream})
    assert response.status_code == 503
    assert response.headers["retry-after"] == "7"
    assert ErrorResponse.model_validate_json(response.content).error.code == "engine_unavailable"

    engine.failure = EngineFailedError("it died")
    response = httpx.post(live + path, json={**BODIES[path], "stream": stream})
    assert response.status_code == 500
    assert ErrorResponse.model_validate_json(response.content).error.code == "engine_error"


@routes
@pytest.mark.parametrize("is_ours", [True, False])
def test_an_error_after_the_first_token_is_one_event_and_no_done(
    live: str, engine: ScriptedEngine, path: str, is_ours: bool
) -> None:
    engine.failure = EngineFailedError("it died") if is_ours else RuntimeError("a secret")
    engine.fail_after = 2
    response = httpx.post(live + path, json=streamed(path))
    assert response.status_code == 200
    data = [line.removeprefix("data: ") for line in response.text.split("\n") if line]
    error = ErrorResponse.model_validate_json(data[-1]).error
    assert error.type == "server_error"
    assert "secret" not in response.text
    assert sum("error" in json.loads(event) for event in data) == 1
    assert "choice 0" in data[-2]


@routes
def test_an_error_after_a_keep_alive_is_an_event(talkative: str, engine: ScriptedEngine, path: str) -> None:
    engine.hold_after = 0
    engine.failure = EngineFailedError("it died")
    with httpx.stream("POST", talkative + path, json=streamed(path)) as response:
        assert response.status_code == 200
        engine.hold_after = None
        last = [line for line in lines(response) if not line.startswith(":")][-1]
    ErrorResponse.model_validate_json(last.removeprefix("data: "))


@routes
def test_an_unexpected_error_in_a_plain_answer_is_a_500_without_details(
    live: str, engine: ScriptedEngine, path: str
) -> None:
    engine.failure = RuntimeError("a secret")
    engine.fail_after = 1
    response = httpx.post(live + path, json=BODIES[path])
    assert response.status_code == 500
    assert "secret" not in response.text
    ErrorResponse.model_validate_json(response.content)
    engine.failure = None
    assert httpx.post(live + path, json=BODIES[path]).status_code == 200


@routes
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("pieces", [0, 1])
def test_a_client_that_leaves_frees_its_sequence(
    live: str, engine: ScriptedEngine, path: str, stream: bool, pieces: int
) -> None:
    engine.hold_after = pieces
    with _request(live, path, {**BODIES[path], "stream": stream}) as connection:
        wait_until(lambda: bool(engine.running))
        if stream and pieces:
            while b"prompt of" not in connection.recv(65536):
                pass
    wait_until(lambda: not engine.running)
    assert len(engine.aborted) == 1
    engine.hold_after = None
    assert httpx.post(live + path, json=BODIES[path]).status_code == 200


def test_a_client_that_leaves_frees_the_sequences_of_all_its_prompts(
    live: str, engine: ScriptedEngine
) -> None:
    engine.hold_after = 1
    fields = {"model": "fake", "prompt": ["a", "b", "c"], "stream": True}
    with _request(live, TEXT, fields):
        wait_until(lambda: len(engine.running) == 3)
    wait_until(lambda: not engine.running)
    assert len(engine.aborted) == 3


def test_a_client_that_does_not_read_is_freed_when_it_leaves(live: str, engine: ScriptedEngine) -> None:
    engine.script = lambda _request, _index: ["x" * 65536] * 4096
    with _request(live, CHAT, streamed(CHAT)):
        wait_until(lambda: bool(engine.running))
    wait_until(lambda: not engine.running)
    assert len(engine.aborted) == 1


def test_a_client_that_leaves_inside_its_own_body_harms_nobody(live: str, engine: ScriptedEngine) -> None:
    host, port = live.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    assert httpx.post(live + CHAT, json=BODIES[CHAT]).status_code == 200
    assert len(engine.requests) == 1


def _request(live: str, path: str, fields: dict[str, object]) -> socket.socket:
    """A connection over which a request was sent; closing it is leaving."""
    host, port = live.removeprefix("http://").split(":")
    body = json.dumps(fields).encode()
    connection = socket.create_connection((host, int(port)), timeout=PATIENCE)
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection
