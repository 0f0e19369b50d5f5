"""What an OpenTelemetry collector is told of a request."""

import contextlib
import sys
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import caravan.observability.tracing
import httpx
import pytest
from caravan.config.settings import Settings
from caravan.errors import EngineFailedError
from caravan.observability.request_metrics import RequestMetrics
from caravan.observability.tracing import EndedRequest, Tracing, TracingError, open_tracing
from caravan.web.app import create_app
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine, loaded_model, registry_over
from tests.live_server import live_server
from tests.waiting import PATIENCE, wait_until

pytest.importorskip("opentelemetry.sdk", reason="traces are an extra")
pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="traces are an extra")

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

PATH = "/v1/chat/completions"
SECRET = "a word that no trace may hold"
BODY = {"model": "fake", "messages": [{"role": "user", "content": SECRET}], "max_tokens": 3}
TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracing(exporter: InMemorySpanExporter) -> Generator[Tracing, None, None]:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing = Tracing(provider)
    yield tracing
    tracing.close()


@pytest.fixture
def client(engine: ScriptedEngine, tracing: Tracing) -> Generator[TestClient, None, None]:
    registry = registry_over(loaded_model(engine))
    app = create_app(Settings(), registry, tracing)
    with TestClient(app, raise_server_exceptions=False, base_url="http://localhost") as client:
        assert client.portal is not None
        client.portal.call(registry.start)
        yield client


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def context(span: ReadableSpan) -> "SpanContext":
    found: SpanContext | None = span.get_span_context()
    assert found is not None
    return found


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_is_a_span_with_a_run_inside(
    client: TestClient, exporter: InMemorySpanExporter, *, stream: bool
) -> None:
    wanted = {"temperature": 0.5, "top_p": 0.75, "n": 2, "seed": 7, "stream": stream}
    answer = client.post(PATH, json=BODY | wanted, headers={"x-request-id": "trace-1"})
    assert answer.status_code == 200
    run, request = exporter.get_finished_spans()
    assert (request.name, request.kind.name, request.status.is_ok) == (f"POST {PATH}", "SERVER", True)
    assert attributes(request) == {
        "http.request.method": "POST",
        "http.route": PATH,
        "url.path": PATH,
        "http.response.status_code": 200,
        "caravan.request.id": "trace-1",
    }
    assert run.name == "chat fake"
    assert run.parent is not None
    assert run.parent.span_id == context(request).span_id
    told = attributes(run)
    assert 0 < float(str(told.pop("gen_ai.server.time_to_first_token"))) < 60
    num_prompt_tokens = int(str(told["gen_ai.usage.input_tokens"]))
    assert num_prompt_tokens > len(SECRET)
    assert told == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "caravan",
        "gen_ai.request.model": "fake",
        "gen_ai.response.model": "fake",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 0.75,
        "gen_ai.request.top_k": 40,
        "gen_ai.request.max_tokens": 3,
        "gen_ai.request.seed": 7,
        "gen_ai.request.choice.count": 2,
        "gen_ai.response.finish_reasons": ("stop", "stop"),
        "gen_ai.usage.input_tokens": num_prompt_tokens,
        "gen_ai.usage.cache_read.input_tokens": num_prompt_tokens // 2,
        "gen_ai.usage.output_tokens": 6,
    }
    times = (request.start_time, run.start_time, run.end_time, request.end_time)
    assert list(times) == sorted(time or 0 for time in times)
    assert SECRET not in request.to_json() + run.to_json()


def test_the_trace_of_a_caller_goes_on(client: TestClient, exporter: InMemorySpanExporter) -> None:
    client.post(PATH, json=BODY, headers={"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-01"})
    run, request = exporter.get_finished_spans()
    assert {f"{context(span).trace_id:032x}" for span in (run, request)} == {TRACE_ID}
    assert request.parent is not None
    assert f"{request.parent.span_id:016x}" == SPAN_ID
    exporter.clear()
    client.post(PATH, json=BODY, headers={"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-00"})
    assert not exporter.get_finished_spans(), "the caller does not want this one"
    client.post(PATH, json=BODY, headers={"traceparent": "nonsense"})
    assert [span.parent is None for span in exporter.get_finished_spans()] == [False, True]


def test_whose_fault_it_was(
    client: TestClient, exporter: InMemorySpanExporter, engine: ScriptedEngine
) -> None:
    client.post(PATH, json={**BODY, "model": "unheard-of"})
    engine.failure = ZeroDivisionError()
    client.post(PATH, json=BODY)
    engine.failure, engine.fail_after = EngineFailedError("it fell"), 1
    client.post(PATH, json={**BODY, "stream": True})
    client.post("/props", json={})
    spans = [span for span in exporter.get_finished_spans() if span.kind.name == "SERVER"]
    assert [span.status.status_code.name for span in spans] == ["UNSET", "ERROR", "ERROR", "UNSET"]
    assert attributes(spans[3])["http.response.status_code"] == 501
    assert attributes(spans[0])["error.type"] == "model_not_found"
    assert attributes(spans[2])["http.response.status_code"] == 200
    assert attributes(spans[2])["error.type"] == "engine_error"


def test_a_text_and_a_probe(client: TestClient, exporter: InMemorySpanExporter) -> None:
    for path in ("/health", "/ready", "/metrics"):
        client.get(path)
    client.post("/v1/completions", json={"model": "fake", "prompt": "Hi"})
    client.get("/v1/models/unheard-of")
    names = [span.name for span in exporter.get_finished_spans()]
    assert names == ["text_completion fake", "POST /v1/completions", "GET /v1/models/{model_id:path}"]


def test_a_client_that_leaves(
    tracing: Tracing, exporter: InMemorySpanExporter, engine: ScriptedEngine
) -> None:
    engine.hold_after = 1
    with (
        live_server(registry_over(loaded_model(engine)), tracing=tracing) as address,
        httpx.stream("POST", address + PATH, json={**BODY, "stream": True}) as response,
    ):
        next(line for line in response.iter_lines() if "prompt of" in line)
        response.close()
        wait_until(lambda: len(exporter.get_finished_spans()) == 2)
    run = attributes(exporter.get_finished_spans()[0])
    assert run["gen_ai.usage.output_tokens"] == 1
    assert run["gen_ai.response.finish_reasons"] == ()


@pytest.fixture
def no_variables(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("ENDPOINT", "TRACES_ENDPOINT", "PROTOCOL", "TRACES_PROTOCOL"):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{name}", raising=False)
    return monkeypatch


@contextlib.contextmanager
def collector(received: list[tuple[str, bytes]]) -> Generator[str, None, None]:
    """A stand-in that takes what is posted; the value is its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def send_one(tracing: Tracing | None) -> None:
    assert tracing is not None
    ended = EndedRequest(
        method="GET", path="/", route="/", headers={}, status=200, record=RequestMetrics("trace-1")
    )
    tracing.request_ended(ended)
    tracing.close()


def test_traces_reach_a_collector(no_variables: pytest.MonkeyPatch) -> None:
    no_variables.setattr(caravan.observability.tracing, "_CLOSE_SECONDS", PATIENCE)
    received: list[tuple[str, bytes]] = []
    with collector(received) as address:
        no_variables.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=here")
        for endpoint in (address, f"{address}/v1/traces"):
            send_one(open_tracing(endpoint))
        no_variables.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        no_variables.setenv("OTEL_SERVICE_NAME", "another")
        send_one(open_tracing(None))
    assert [path for path, _ in received] == ["/v1/traces"] * 3
    assert all(b"deployment.environment.name" in body for _, body in received)
    assert b"caravan" in received[0][1]
    assert b"another" in received[2][1]


class Stubborn(SpanProcessor):
    """Ends when it is let, as an exporter does that tries again and again."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.has_ended = threading.Event()

    def shutdown(self) -> None:
        self.may_end.wait()
        self.has_ended.set()


def test_a_collector_that_does_not_listen_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    provider, stubborn = TracerProvider(shutdown_on_exit=False), Stubborn()
    provider.add_span_processor(stubborn)
    monkeypatch.setattr(caravan.observability.tracing, "_CLOSE_SECONDS", 0)
    Tracing(provider).close()
    assert not stubborn.has_ended.is_set()
    assert "the last traces are lost" in caplog.text
    stubborn.may_end.set()
    assert stubborn.has_ended.wait(PATIENCE)


def test_whether_traces_are_wanted(no_variables: pytest.MonkeyPatch) -> None:
    assert open_tracing(None) is None
    with pytest.raises(TracingError, match="localhost:4318"):
        open_tracing("localhost:4317")
    no_variables.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(TracingError, match="grpc"):
        open_tracing("http://127.0.0.1:1")
    no_variables.setenv("OTEL_SDK_DISABLED", "true")
    assert open_tracing("http://127.0.0.1:1") is None


def test_without_the_extra_it_says_what_to_install(no_variables: pytest.MonkeyPatch) -> None:
    no_variables.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(TracingError, match=r"llama-caravan\[otel\]"):
        open_tracing("http://127.0.0.1:1")
