"""A request is freed when it has been answered: nothing of it is left to the collector of garbage.

The collector stops every thread for as long as it takes to free what it found, and a request may be hundreds
of thousands of objects.
"""

import gc
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from caravan_schemas.base import Schema

from tests.waiting import wait_until

USER = {"role": "user", "content": "Hi"}
TOO_LONG = {"role": "user", "content": "word " * 10_000}
TEXT = {"model": "fake", "prompt": "Hi"}
CHAT = {"model": "fake", "messages": [USER]}
RESPONSE = {"model": "fake", "input": [USER]}
MESSAGE = {"model": "fake", "max_tokens": 9, "messages": [USER]}

# Path, body, and the status of its answer.
REQUESTS: list[tuple[str, dict[str, Any], int]] = [
    ("/v1/completions", TEXT, 200),
    ("/v1/completions", TEXT | {"stream": True}, 200),
    ("/v1/completions", TEXT | {"prompt": TOO_LONG["content"]}, 400),
    ("/v1/completions", TEXT | {"grammar": "root ::= ("}, 400),
    ("/v1/chat/completions", CHAT, 200),
    ("/v1/chat/completions", CHAT | {"stream": True}, 200),
    ("/v1/chat/completions", CHAT | {"store": True}, 200),
    ("/v1/chat/completions", CHAT | {"messages": [TOO_LONG]}, 400),
    ("/v1/chat/completions", CHAT | {"messages": [USER | {"content": 5}]}, 400),
    ("/v1/chat/completions", CHAT | {"model": "absent"}, 404),
    ("/v1/responses", RESPONSE, 200),
    ("/v1/responses", RESPONSE | {"stream": True}, 200),
    ("/v1/responses", RESPONSE | {"store": False}, 200),
    ("/v1/responses", RESPONSE | {"input": [TOO_LONG]}, 400),
    ("/v1/responses", RESPONSE | {"input": [TOO_LONG], "stream": True}, 400),
    ("/v1/responses", RESPONSE | {"previous_response_id": "resp_absent"}, 400),
    ("/v1/messages", MESSAGE, 200),
    ("/v1/messages", MESSAGE | {"stream": True}, 200),
    ("/v1/messages", MESSAGE | {"messages": [TOO_LONG]}, 400),
    ("/api/chat", CHAT, 200),
    ("/api/chat", CHAT | {"messages": [TOO_LONG], "truncate": False}, 400),
    ("/completion", {"prompt": "Hi"}, 200),
    ("/completion", {"prompt": TOO_LONG["content"]}, 400),
]


@pytest.fixture
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def alive(before: set[int]) -> list[Schema]:
    """What clients have sent and is still there; whoever asks for all objects must not keep them."""
    return [thing for thing in gc.get_objects() if isinstance(thing, Schema) and id(thing) not in before]


@pytest.mark.usefixtures("_no_collector")
@pytest.mark.parametrize(("path", "body", "status"), REQUESTS)
def test_a_request_is_freed_with_its_answer(live: str, path: str, body: dict[str, Any], status: int) -> None:
    with httpx.Client(base_url=live) as client:
        client.post("/v1/completions", json=TEXT).raise_for_status()
        before = {id(thing) for thing in gc.get_objects() if isinstance(thing, Schema)}
        answer = client.post(path, json=body)
        assert answer.status_code == status, answer.text
        wait_until(lambda: not alive(before))
