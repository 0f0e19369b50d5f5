"""`/v1/batches`: what OpenAI's own client sends and reads, over a scripted model."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from caravan.api.batches import answering, stored_batches, working
from caravan.auth import keys_file
from caravan.config.settings import Settings
from caravan.engine.params import BACKGROUND_PRIORITY
from caravan.errors import EngineFailedError, OverloadedError
from caravan.web.app import create_app
from caravan.web.dependencies import Services
from caravan.web.services import open_stores
from fastapi.testclient import TestClient
from openai.types import Batch

from tests.fakes_web import ScriptedEngine, loaded_model, registry_over
from tests.live_server import live_server
from tests.openai_contract import check
from tests.waiting import PATIENCE, wait_until
from tests.web.batches.conftest import begin, jsonl, line, rows, wait_for
from tests.web.chat_models import HERMES

TEXT = {"model": "fake", "prompt": "Once", "max_tokens": 2, "seed": 1}


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working, "_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(answering, "_FIRST_SECONDS", 0.01)


def test_every_line_is_answered_as_its_route_would(
    client: openai.OpenAI, engine: ScriptedEngine, live: str
) -> None:
    lines = [line(f"r{number}") for number in range(300)]
    batch = begin(client, lines, metadata={"kind": "test"})
    assert batch.status == "validating"
    check(Batch, httpx.get(f"{live}/v1/batches/{batch.id}").json())
    ended = wait_for(client, batch)
    check(Batch, httpx.get(f"{live}/v1/batches/{batch.id}").json())
    assert (ended.status, ended.error_file_id, ended.errors, ended.metadata) == (
        "completed",
        None,
        None,
        {"kind": "test"},
    )
    assert ended.request_counts is not None
    assert ended.request_counts.to_dict() == {"total": 300, "completed": 300, "failed": 0}
    found = rows(client, ended.output_file_id)
    assert [row["custom_id"] for row in found] == [each["custom_id"] for each in lines]
    assert len({row["id"] for row in found} | {row["response"]["request_id"] for row in found}) == 600
    for row, asked in zip(found, lines, strict=True):
        assert (row["response"]["status_code"], row["error"]) == (200, None)
        direct = httpx.post(f"{live}/v1/chat/completions", json=asked["body"]).json()
        ours = row["response"]["body"]
        for each in (direct, ours):
            del each["id"], each["created"]
        assert ours == direct
    assert ended.usage is not None
    assert ended.usage.input_tokens == sum(row["response"]["body"]["usage"]["prompt_tokens"] for row in found)
    beneath = [request for request in engine.requests if request.priority == BACKGROUND_PRIORITY]
    assert len(beneath) == 300
    assert all(request.priority == 0 for request in engine.requests if request not in beneath)


@pytest.mark.parametrize(
    ("url", "body", "kind"),
    [
        ("/v1/completions", TEXT, "text_completion"),
        ("/v1/embeddings", {"model": "fake", "input": ["a", "b"]}, "list"),
        ("/v1/responses", {"model": "fake", "input": "Hi"}, "response"),
    ],
)
def test_other_routes(url: str, body: dict[str, Any], kind: str, client: openai.OpenAI, live: str) -> None:
    ended = wait_for(client, begin(client, [line(name, url, **body) for name in "abc"], url))
    found = rows(client, ended.output_file_id)
    assert [row["response"]["body"]["object"] for row in found] == [kind] * 3
    if kind == "response":
        name = found[0]["response"]["body"]["id"]
        assert httpx.get(f"{live}/v1/responses/{name}").status_code == 404, "nobody asked for it to be kept"


def test_a_line_that_is_refused_is_in_the_file_of_errors(client: openai.OpenAI) -> None:
    long = {**TEXT, "prompt": "x" * 6000}
    lines = [line(name, "/v1/completions", **(long if name == "b" else TEXT)) for name in "abc"]
    ended = wait_for(client, begin(client, lines, "/v1/completions"))
    assert ended.request_counts is not None
    assert (ended.status, ended.request_counts.completed, ended.request_counts.failed) == ("completed", 2, 1)
    assert [row["custom_id"] for row in rows(client, ended.output_file_id)] == ["a", "c"]
    (wrong,) = rows(client, ended.error_file_id)
    assert (wrong["custom_id"], wrong["response"]["status_code"]) == ("b", 400)
    assert wrong["response"]["body"]["error"]["code"] == "context_length_exceeded"


def test_wrong_lines_fail_the_whole_before_any_is_answered(
    client: openai.OpenAI, engine: ScriptedEngine
) -> None:
    lines = [line("a"), line("a"), line("c", model="none", messages=[]), line("d", "/v1/completions", **TEXT)]
    ended = wait_for(client, begin(client, lines))
    assert (ended.status, ended.output_file_id) == ("failed", None)
    assert ended.errors is not None
    assert ended.errors.data is not None
    told = [(fault.line, fault.code, fault.param) for fault in ended.errors.data]
    assert told[0] == (2, "duplicate_custom_id", "custom_id")
    assert told[-1] == (4, "url_mismatch", "url")
    assert engine.requests == []


def test_a_model_that_is_not_there_is_a_fault(client: openai.OpenAI) -> None:
    body = line("a")["body"]
    ended = wait_for(client, begin(client, [line("a"), line("b", **{**body, "model": "none"})]))
    assert ended.errors is not None
    assert ended.errors.data is not None
    assert [(fault.line, fault.code) for fault in ended.errors.data] == [(2, "model_not_found")]


def test_an_empty_file_is_a_fault(client: openai.OpenAI) -> None:
    ended = wait_for(client, begin(client, []))
    assert ended.errors is not None
    assert ended.errors.data is not None
    assert ended.errors.data[0].code == "empty_batch"


def test_what_passes_is_waited_for_and_what_fails_is_tried_again(
    client: openai.OpenAI, engine: ScriptedEngine
) -> None:
    engine.failure = OverloadedError("full", retry_after=0)
    batch = begin(client, [line("a")])
    wait_until(lambda: len(engine.requests) > 4)
    engine.failure = None
    assert len(rows(client, wait_for(client, batch).output_file_id)) == 1
    engine.failure = EngineFailedError("it died")
    ended = wait_for(client, begin(client, [line("a")]))
    (wrong,) = rows(client, ended.error_file_id)
    assert (wrong["response"]["status_code"], wrong["response"]["body"]["error"]["code"]) == (
        500,
        "engine_error",
    )


def test_cancelling_keeps_what_is_answered(client: openai.OpenAI, engine: ScriptedEngine) -> None:
    def script(_request: Any, _index: int) -> list[str]:  # noqa: ANN401
        return ["done"] if len(engine.requests) <= 2 else ["a", "b"]

    engine.script, engine.hold_after = script, 1
    batch = begin(client, [line(f"r{number}") for number in range(20)])
    wait_until(lambda: (counts := client.batches.retrieve(batch.id).request_counts) and counts.completed == 2)
    assert client.batches.cancel(batch.id).status in ("cancelling", "cancelled")
    ended = wait_for(client, batch)
    assert ended.status == "cancelled"
    assert len(rows(client, ended.output_file_id)) == 2
    wrong = rows(client, ended.error_file_id)
    assert [(row["response"], row["error"]["code"]) for row in wrong] == [(None, "batch_cancelled")] * 18
    assert client.batches.cancel(batch.id).status == "cancelled"
    wait_until(lambda: not engine.running)


def test_one_that_has_ended_cannot_be_cancelled(client: openai.OpenAI) -> None:
    ended = wait_for(client, begin(client, [line("a")]))
    with pytest.raises(openai.ConflictError, match="'completed' cannot be cancelled"):
        client.batches.cancel(ended.id)


def test_what_there_is_no_time_for_has_expired(
    client: openai.OpenAI, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_batches, "WINDOW_SECONDS", 1)
    engine.hold_after = 0
    ended = wait_for(client, begin(client, [line("a"), line("b")]))
    assert (ended.status, ended.output_file_id) == ("expired", None)
    assert [row["error"]["code"] for row in rows(client, ended.error_file_id)] == ["batch_expired"] * 2


def test_lists_come_in_pages(client: openai.OpenAI) -> None:
    made = [begin(client, [line("a")]).id for _ in range(5)]
    assert [batch.id for batch in client.batches.list(limit=2)] == made[::-1]
    page = client.batches.list(limit=2, after=made[3])
    assert ([batch.id for batch in page.data], page.has_more) == ([made[2], made[1]], True)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"endpoint": "/v1/moderations"}, "endpoint"),
        ({"completion_window": "7d"}, "completion_window"),
        ({"input_file_id": "file-none"}, "input_file_id"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 1}}, "output_expires_after.seconds"),
    ],
)
def test_wrong_fields_are_told(fields: dict[str, Any], param: str, client: openai.OpenAI, live: str) -> None:
    file = client.files.create(file=jsonl([line("a")]), purpose="batch")
    body = {"input_file_id": file.id, "endpoint": "/v1/completions", "completion_window": "24h", **fields}
    answer = httpx.post(f"{live}/v1/batches", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert httpx.get(f"{live}/v1/batches/batch_none").status_code == 404


def test_outputs_are_kept_as_long_as_they_are_asked_for(client: openai.OpenAI) -> None:
    batch = begin(client, [line("a")], output_expires_after={"anchor": "created_at", "seconds": 7200})
    file_id = wait_for(client, batch).output_file_id
    assert file_id is not None
    file = client.files.retrieve(file_id)
    assert (file.purpose, file.expires_at) == ("batch_output", file.created_at + 7200)
    assert client.files.list(purpose="batch_output").data == [file]


def test_a_server_goes_on_where_another_stopped(engine: ScriptedEngine, tmp_path: Path) -> None:
    """In good order; `tests/faults` kills it."""
    settings = Settings.model_validate({"data_dir": str(tmp_path)})
    lines = [line(f"r{number}") for number in range(40)]
    engine.script = lambda _request, _index: ["done"] if len(engine.requests) <= 9 else ["a", "b"]
    engine.hold_after = 1
    with (
        live_server(registry_over(loaded_model(engine, template=HERMES)), settings) as live,
        openai.OpenAI(base_url=f"{live}/v1", api_key="none") as client,
    ):
        batch = begin(client, lines)
        wait_until(
            lambda: (counts := client.batches.retrieve(batch.id).request_counts) and counts.completed == 9
        )
    other = ScriptedEngine(context_size=4096)
    registry = registry_over(loaded_model(other, template=HERMES))
    with (
        live_server(registry, settings, opens_batches=True) as live,
        openai.OpenAI(base_url=f"{live}/v1", api_key="none") as client,
    ):
        found = rows(client, wait_for(client, batch).output_file_id)
    assert sorted(row["custom_id"] for row in found) == sorted(each["custom_id"] for each in lines)
    assert len(other.requests) == 31


class TestKeys:
    """What a key's batch may, and is charged."""

    @pytest.fixture
    def options(self, tmp_path: Path) -> dict[str, Any]:
        return {"data_dir": str(tmp_path), "keys_file": str(tmp_path / "keys.json")}

    def test_limits_make_a_batch_wait_and_others_see_nothing(
        self, live: str, options: dict[str, Any], engine: ScriptedEngine
    ) -> None:
        file = Path(options["keys_file"])
        slow = keys_file.add(file, name="slow", requests_per_minute=6, concurrent_requests=1)
        other = keys_file.add(file, name="other")
        with openai.OpenAI(base_url=f"{live}/v1", api_key=slow, max_retries=0) as client:
            batch = begin(client, [line(name) for name in "abcdef"])
            # Two requests have made it, and half of the limit is left to live ones.
            wait_until(lambda: len(engine.requests) >= 1)
            assert client.batches.retrieve(batch.id).status == "in_progress"
            body = line("x")["body"]
            headers = {"authorization": f"Bearer {slow}"}
            direct = httpx.post(f"{live}/v1/chat/completions", json=body, headers=headers, timeout=PATIENCE)
            assert direct.status_code == 200
            assert client.batches.cancel(batch.id).status == "cancelling"
            ended = wait_for(client, batch)
            with openai.OpenAI(base_url=f"{live}/v1", api_key=other, max_retries=0) as stranger:
                assert stranger.batches.list().data == []
                assert stranger.files.list().data == []
                for ask in (stranger.batches.retrieve, stranger.batches.cancel):
                    with pytest.raises(openai.NotFoundError):
                        ask(ended.id)
                for ask_file in (stranger.files.retrieve, stranger.files.content, stranger.files.delete):
                    with pytest.raises(openai.NotFoundError):
                        ask_file(ended.input_file_id)
                with pytest.raises(openai.BadRequestError, match="not found"):
                    stranger.batches.create(
                        input_file_id=ended.input_file_id,
                        endpoint="/v1/chat/completions",
                        completion_window="24h",
                    )

    def test_a_key_that_is_revoked_has_nothing_more_answered(
        self, live: str, options: dict[str, Any], engine: ScriptedEngine
    ) -> None:
        file = Path(options["keys_file"])
        token, admin = keys_file.add(file, name="a"), keys_file.add(file, name="root", role="admin")
        engine.hold_after = 0
        with openai.OpenAI(base_url=f"{live}/v1", api_key=token, max_retries=0) as client:
            begin(client, [line(f"r{number}") for number in range(400)])
            wait_until(lambda: len(engine.requests) >= 5)
            keys_file.revoke(file, "a")
        engine.hold_after = None

        def ended() -> bool:
            shown = httpx.get(f"{live}/metrics", headers={"authorization": f"Bearer {admin}"}).text
            return 'caravan_batches_ended_total{status="completed"} 1.0' in shown

        wait_until(ended)
        assert len(engine.requests) < 400


def test_what_is_used_is_counted_for_the_key_and_not_among_live_latencies(
    client: openai.OpenAI, live: str
) -> None:
    wait_for(client, begin(client, [line("a"), line("b")]))
    shown = httpx.get(f"{live}/metrics").text
    assert 'caravan_batch_lines_total{outcome="completed"} 2.0' in shown
    assert 'caravan_batches_ended_total{status="completed"} 1.0' in shown
    assert 'caravan_request_success_total{finished_reason="stop",model="fake"} 0.0' in shown


class TestTooMuch:
    """A key that has no room for answers any more."""

    @pytest.fixture
    def options(self, tmp_path: Path) -> dict[str, Any]:
        return {"data_dir": str(tmp_path), "files_bytes": 100_000}

    def test_the_rest_is_told_so(self, client: openai.OpenAI) -> None:
        ended = wait_for(client, begin(client, [line(f"{number}") for number in range(250)]))
        wrong = rows(client, ended.error_file_id)
        assert {row["error"]["code"] for row in wrong} == {"storage_limit_exceeded"}
        assert len(wrong) + len(rows(client, ended.output_file_id)) == 250

    def test_a_batch_whose_lines_find_no_room_fails(self, client: openai.OpenAI) -> None:
        failed = wait_for(client, begin(client, [line("x" * 500 + f"{number}") for number in range(70)]))
        assert failed.status == "failed"
        assert failed.errors is not None
        assert failed.errors.data is not None
        assert [each.code for each in failed.errors.data] == ["storage_limit_exceeded"]


def test_memory_keeps_nothing_on_the_disk_of_the_data_folder(engine: ScriptedEngine, tmp_path: Path) -> None:
    settings = Settings.model_validate({"data_dir": str(tmp_path), "responses_db": "memory"})
    with (
        live_server(registry_over(loaded_model(engine, template=HERMES)), settings) as live,
        openai.OpenAI(base_url=f"{live}/v1", api_key="none") as client,
    ):
        assert len(rows(client, wait_for(client, begin(client, [line("a")])).output_file_id)) == 1
    assert not (tmp_path / "batches").exists()


def test_a_store_that_cannot_be_opened_costs_its_own_requests_alone(
    engine: ScriptedEngine, tmp_path: Path
) -> None:
    (tmp_path / "batches").write_text("in the way")
    settings = Settings.model_validate({"data_dir": str(tmp_path)})
    with live_server(registry_over(loaded_model(engine, template=HERMES)), settings) as live:
        for path in ("/v1/files", "/v1/batches"):
            answer = httpx.get(f"{live}{path}")
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "storage_unavailable")
        assert httpx.post(f"{live}/v1/chat/completions", json=line("x")["body"]).status_code == 200


def test_lines_are_json_in_one_line_each(client: openai.OpenAI, engine: ScriptedEngine) -> None:
    engine.script = lambda _request, _index: ["a\nb\u2028c", '"quoted"\r\n']
    ended = wait_for(client, begin(client, [line("one\n\u2028two")]))
    assert ended.output_file_id is not None
    content = client.files.content(ended.output_file_id).content
    assert content.count(b"\n") == 1
    row = json.loads(content)
    assert row["custom_id"] == "one\n\u2028two"
    assert row["response"]["body"]["choices"][0]["message"]["content"] == 'a\nb\u2028c"quoted"\r\n'


def test_several_ingresses_without_a_common_folder_have_none(engine: ScriptedEngine) -> None:
    app = create_app(Settings(), registry_over(loaded_model(engine)), has_batches=False)
    with TestClient(app, base_url="http://localhost") as client:
        for path in ("/v1/files", "/v1/batches"):
            answer = client.get(path)
            assert (answer.status_code, answer.json()["error"]["code"]) == (501, "not_supported")


def test_batches_that_are_not_served_are_not_looked_after(
    engine: ScriptedEngine, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(Settings(), registry_over(loaded_model(engine)), has_batches=False)

    async def main() -> None:
        services: Services = app.state.services
        await open_stores(services, Settings(responses_db=Path("memory")))
        assert "batches" not in {task.get_name() for task in asyncio.all_tasks()}
        await services.batches.aclose()
        await services.responses.aclose()

    asyncio.run(main())
    assert not caplog.records
