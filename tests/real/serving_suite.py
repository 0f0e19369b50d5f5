"""How servers of real models behave: clients that leave, limits, caches, and what is counted."""

import re
import time
from typing import Any

import httpx
import openai
import pytest

from tests.real.conftest import RealServer
from tests.waiting import PATIENCE, wait_until

STORY = "Once upon a time there was a ship. " * 12


@pytest.fixture(scope="module", params=["smollm2", "gemma"])
def server(request: pytest.FixtureRequest) -> RealServer:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, RealServer)
    return found


def _get(server: RealServer, path: str) -> httpx.Response:
    return httpx.get(server.address + path, timeout=PATIENCE).raise_for_status()


def _series(server: RealServer, name: str) -> float:
    """The sum of a series over its labels."""
    found = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", _get(server, "/metrics").text, re.MULTILINE)
    return sum(map(float, found))


def _running(server: RealServer) -> int:
    [model] = _get(server, "/status").json()["models"]
    return int(model["running"])


def test_a_client_that_leaves_ends_its_stream(server: RealServer) -> None:
    aborted = _series(server, "caravan_requests_aborted_total")
    stream = server.client.completions.create(
        model=server.model,
        prompt="Once upon a time",
        max_tokens=4000,
        stream=True,
        extra_body={"ignore_eos": True},
    )
    next(iter(stream))
    assert _running(server) == 1
    stream.close()
    wait_until(lambda: _running(server) == 0)
    assert _series(server, "caravan_requests_aborted_total") == aborted + 1


def test_a_second_question_is_answered_from_memory_with_the_same_text(server: RealServer) -> None:
    fields: dict[str, Any] = {"model": server.model, "prompt": STORY, "max_tokens": 1, "temperature": 0}
    cold, warm = (server.client.completions.create(**fields) for _ in range(2))
    assert cold.choices[0].text == warm.choices[0].text
    assert warm.usage is not None
    assert warm.usage.prompt_tokens_details is not None
    assert warm.usage.prompt_tokens_details.cached_tokens == warm.usage.prompt_tokens - 1


def test_what_is_told_of_usage_is_what_is_counted(server: RealServer) -> None:
    names = ("caravan_prompt_tokens_total", "caravan_generation_tokens_total")
    before = [_series(server, name) for name in names]
    answer = server.client.completions.create(
        model=server.model, prompt=f"{time.time()} and", max_tokens=12, n=2, extra_body={"ignore_eos": True}
    )
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 24
    assert {choice.finish_reason for choice in answer.choices} == {"length"}
    counted = [_series(server, name) - value for name, value in zip(names, before, strict=True)]
    assert counted == [answer.usage.prompt_tokens, answer.usage.completion_tokens]


def test_a_prompt_beyond_the_context_is_refused(server: RealServer) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        server.client.completions.create(model=server.model, prompt="ship " * 9000, max_tokens=1)
    assert caught.value.code == "context_length_exceeded"


def test_the_model_is_described(server: RealServer) -> None:
    model = server.client.models.retrieve(server.model).model_dump()
    [listed] = [entry.model_dump() for entry in server.client.models.list()]
    trained = {"SmolLM2": 8192, "gemma": 32768}
    for card in (model, listed):
        assert card["status"] == "loaded"
        assert card["max_model_len"] == card["context_length"] == card["context_window"] == 8192
        assert card["meta"] == {"n_ctx": 8192, "n_ctx_train": trained[server.model.partition("-")[0]]}
