"""What is left of a request: ids, log lines, series."""

import json
import logging
import re

import httpx
import pytest
from caravan.errors import EngineFailedError
from caravan.observability.log_format import JsonFormatter
from fastapi.testclient import TestClient
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from tests.fakes_web import ScriptedEngine
from tests.waiting import wait_until

PATH = "/v1/chat/completions"
SECRET = "a word that no log may hold"
BODY = {"model": "fake", "messages": [{"role": "user", "content": SECRET}], "max_tokens": 3}


def samples(client: TestClient) -> dict[str, float]:
    """All series that have counted something, by name and labels."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {
        sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
        if sample.value and "le" not in sample.labels and not sample.name.endswith("_created")
    }


def test_a_request_has_an_id_and_a_client_may_bring_its_own(client: TestClient) -> None:
    first, second = (client.post(PATH, json=BODY).headers["x-request-id"] for _ in range(2))
    assert re.fullmatch(r"req_[0-9a-f]{32}", first)
    assert first != second
    brought = client.post(PATH, json=BODY, headers={"x-request-id": "trace-7"})
    assert brought.headers["x-request-id"] == "trace-7"
    assert client.get("/v1/nothing", headers={"x-request-id": "a b"}).headers["x-request-id"] != "a b"


def test_a_fault_of_ours_has_an_id_too(client: TestClient, engine: ScriptedEngine) -> None:
    engine.failure = ZeroDivisionError()
    response = client.post(PATH, json=BODY, headers={"x-request-id": "trace-8"})
    assert (response.status_code, response.headers["x-request-id"]) == (500, "trace-8")
    assert samples(client)[f"caravan_http_requests_total POST {PATH} 500"] == 1


def test_one_line_a_request_without_a_word_of_it(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "caravan.requests"):
        client.post(PATH, json=BODY, headers={"x-request-id": "trace-9"})
        client.get("/health")
    (entry,) = [record for record in caplog.records if record.name == "caravan.requests"]
    assert entry.getMessage().startswith(f"POST {PATH} 200 ms=")
    fields = json.loads(JsonFormatter().format(entry))
    assert fields["request_id"] == "trace-9"
    assert fields["model"] == "fake"
    assert fields["completion_tokens"] == 3
    assert 0 < fields["cached_tokens"] < fields["prompt_tokens"]
    assert 0 < fields["first_token_ms"] <= fields["ms"]
    assert SECRET not in caplog.text


def test_a_line_has_an_end(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "caravan.requests"):
        client.get("/x" * 20_000)
    assert len(caplog.text) < 600


def test_a_path_is_one_word_of_a_line(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    """Neither a line of its own nor a field of this one can be written into it."""
    with caplog.at_level(logging.INFO, "caravan.requests"):
        client.get("/a%0a2026-01-01%20INFO%20x:%20GET%20/admin%20200")
        client.get("/b%20200%20ms=1%20key=root%1b[2J%c2%85%e2%80%a8")
        client.request("X" * 5000, "/c")
    lines = [record.getMessage() for record in caplog.records if record.name == "caravan.requests"]
    assert [line.split()[1][:3] for line in lines] == ["/a%", "/b%", "/c"]
    assert all(line.isascii() and line.isprintable() and line.split()[2] in ("404", "405") for line in lines)
    assert all(" key=" not in line and len(line) < 600 for line in lines)


def test_an_error_is_named_in_the_line_and_counted(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "caravan.requests"):
        client.post(PATH, json={**BODY, "model": "unheard-of"})
    assert "error=model_not_found" in caplog.text
    assert samples(client)["caravan_http_errors_total model_not_found"] == 1


def test_errors_inside_streams_are_counted(client: TestClient, engine: ScriptedEngine) -> None:
    engine.failure, engine.fail_after = EngineFailedError("it fell"), 1
    client.post(PATH, json={**BODY, "stream": True})
    assert samples(client)["caravan_http_errors_total engine_error"] == 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_in_the_series(client: TestClient, *, stream: bool) -> None:
    client.post(PATH, json={**BODY, "n": 2, "stream": stream})
    told = samples(client)
    assert told["caravan_time_to_first_token_seconds_count fake"] == 1
    assert told["caravan_e2e_request_latency_seconds_count fake"] == 1
    assert told["caravan_request_prompt_tokens_count fake"] == 1
    assert told["caravan_request_generation_tokens_sum fake"] == 6
    assert told["caravan_inter_token_latency_seconds_count fake"] == 4
    assert told["caravan_request_success_total stop fake"] == 2
    assert told[f"caravan_http_requests_total POST {PATH} 200"] == 1
    assert told["caravan_memory_bytes  server"] > 1_000_000


@pytest.mark.parametrize("stream", [False, True])
def test_answers_that_break_their_constraint_are_counted(client: TestClient, *, stream: bool) -> None:
    """The scripted engine pays no heed to constraints."""
    wanted = {"structured_outputs": {"choice": ["yes", "no"]}, "max_tokens": 3}
    client.post(PATH, json={**BODY, **wanted, "stream": stream})
    assert samples(client)["caravan_constraint_violations_total fake"] == 1
    assert samples(client)["caravan_http_errors_total constraint_broken"] == 1


def test_clients_that_leave_are_counted(live: str, engine: ScriptedEngine) -> None:
    engine.hold_after = 1
    with httpx.stream("POST", live + PATH, json={**BODY, "stream": True}) as response:
        next(line for line in response.iter_lines() if "prompt of" in line)
    wait_until(lambda: bool(engine.aborted))
    wait_until(
        lambda: 'caravan_requests_aborted_total{model="fake"} 1.0' in httpx.get(live + "/metrics").text
    )


def test_paths_that_nobody_serves_make_no_series_of_their_own(client: TestClient) -> None:
    for number in range(3):
        client.get(f"/v1/nothing/{number}")
        client.get(f"/v1/models/{number}")
    told = samples(client)
    assert told["caravan_http_requests_total GET other 404"] == 3
    assert told["caravan_http_requests_total GET /v1/models/{model_id:path} 404"] == 3


def test_openmetrics_for_those_who_ask(client: TestClient) -> None:
    client.post(PATH, json=BODY)
    response = client.get("/metrics", headers={"accept": "application/openmetrics-text"})
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    names = {family.name for family in parse_openmetrics(response.text)}  # type: ignore[no-untyped-call]
    assert "caravan_time_to_first_token_seconds" in names


def test_the_engines_own_books(client: TestClient, engine: ScriptedEngine) -> None:
    engine.num_restarts = 2
    told = samples(client)
    assert told["caravan_kv_cells fake"] == 512
    assert told["caravan_kv_cells_used fake"] == 128
    assert told["caravan_kv_cache_usage_perc fake"] == 0.25
    assert told["caravan_engine_restarts_total fake"] == 2


def test_status_is_numbers_for_administrators(live: str, client: TestClient, engine: ScriptedEngine) -> None:
    engine.hold_after = 1
    with httpx.stream("POST", live + PATH, json={**BODY, "stream": True}) as response:
        lines = response.iter_lines()
        next(line for line in lines if "prompt of" in line)
        status = httpx.get(live + "/status")
    (model,) = status.json()["models"]
    assert (model["id"], model["status"], model["running"], model["cells"]) == ("fake", "loaded", 1, 512)
    assert SECRET not in status.text
    assert client.get("/status").status_code == 403, "the test client does not call from this machine"
