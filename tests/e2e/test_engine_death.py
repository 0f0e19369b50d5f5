"""What clients see when the engine's process dies: one clear error each, a 503, and soon a server again."""

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from caravan_schemas.errors import ErrorResponse

from tests.e2e.conftest import Served
from tests.waiting import PATIENCE, wait_until

WANTED = {"model": "tiny", "prompt": "the", "max_tokens": 500, "temperature": 0}


@pytest.fixture(scope="module")
def context_size() -> int:
    """Room for a text that does not end while a test looks."""
    return 1 << 16


def kill_engine(served: Served) -> None:
    assert served.engine.pid is not None
    os.kill(served.engine.pid, signal.SIGKILL)


@pytest.mark.parametrize("stream", [False, True])
def test_each_running_request_gets_one_error_and_the_server_comes_back(served: Served, stream: bool) -> None:
    wait_until(lambda: served.engine.is_ready)
    os.kill(served.engine.pid or 0, signal.SIGSTOP)

    def ask(number: int) -> httpx.Response:
        body = {**WANTED, "seed": number, "stream": stream}
        return httpx.post(f"{served.address}/v1/completions", json=body, timeout=PATIENCE)

    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(ask, number) for number in range(4)]
        wait_until(lambda: len(served.engine._outputs) == 4)
        kill_engine(served)
        answers = [one.result() for one in waiting]

    for answer in answers:
        assert answer.status_code == 500
        assert ErrorResponse.model_validate_json(answer.content).error.code == "engine_error"
    wait_until(lambda: served.engine.is_ready)
    assert httpx.get(f"{served.address}/ready").status_code == 200
    assert ask(1).status_code == 200


def test_a_stream_that_had_begun_ends_with_one_error_event(served: Served) -> None:
    wait_until(lambda: served.engine.is_ready)
    body = {**WANTED, "stream": True, "temperature": 1.5, "n": 16, "max_tokens": 60_000, "ignore_eos": True}
    with httpx.stream("POST", f"{served.address}/v1/completions", json=body, timeout=PATIENCE) as response:
        arriving = (line.removeprefix("data: ") for line in response.iter_lines() if line)
        first = next(arriving)
        kill_engine(served)
        events = [first, *arriving]
    assert events[-1] != "[DONE]"
    assert [index for index, event in enumerate(events) if "error" in json.loads(event)] == [len(events) - 1]
    assert ErrorResponse.model_validate_json(events[-1]).error.code == "engine_error"


def test_while_no_engine_is_up_requests_get_a_503_and_refusals_still_work(served: Served) -> None:
    wait_until(lambda: served.engine.is_ready)
    num_restarts = served.engine.num_restarts
    kill_engine(served)
    wait_until(lambda: not served.engine.is_ready or served.engine.num_restarts > num_restarts)
    url = f"{served.address}/v1/completions"
    refused = httpx.post(url, json=WANTED)
    wrong = httpx.post(url, json={**WANTED, "temperature": 900})
    ready = httpx.get(f"{served.address}/ready")
    # The engine may be back before all three were asked, so each answer is judged by what it says.
    if refused.status_code != 200:
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert ErrorResponse.model_validate_json(refused.content).error.code == "engine_unavailable"
    assert wrong.status_code == 400
    assert ready.status_code in (200, 503)
    wait_until(lambda: httpx.post(url, json=WANTED).status_code == 200)
