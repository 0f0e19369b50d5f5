"""Traces for OpenTelemetry: a span for each request, inside it one for each run in an engine.

Names are those of the semantic conventions for HTTP servers and for generative AI. Prompts and answers are in
none of them. Spans are made from a request's record when it has ended, so nothing is traced while it runs.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from caravan.observability.request_metrics import RequestMetrics, RunMetrics
from caravan.version import version

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_OPERATIONS = {"/v1/completions": "text_completion"}
_ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOL_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"
_PATH = "/v1/traces"
_NANOSECONDS = 10**9
# For the last traces, when the server ends.
_CLOSE_SECONDS = 2.0

log = logging.getLogger(__name__)


class TracingError(Exception):
    """Traces are wanted and cannot be sent; the message is one line for the operator."""


@dataclass(frozen=True, kw_only=True)
class EndedRequest:
    """What the web side knows of a request besides its record. `status` is None if no answer was begun."""

    method: str
    path: str
    route: str
    headers: Mapping[str, str]
    status: int | None
    record: RequestMetrics


class Tracing:
    """Hands spans to a provider, which sends them from a thread of its own."""

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry import propagate

        self._provider = provider
        self._tracer = provider.get_tracer("caravan", version())
        self._extract = propagate.extract

    def request_ended(self, ended: EndedRequest) -> None:
        """Make the spans of a request, children of the one that its `traceparent` names, if it does."""
        from opentelemetry.trace import SpanKind, set_span_in_context
        from opentelemetry.trace.status import Status, StatusCode

        now, clock = time.time_ns(), time.monotonic()

        def wall(seconds: float) -> int:
            return now - round((clock - seconds) * _NANOSECONDS)

        record = ended.record
        span = self._tracer.start_span(
            f"{ended.method} {ended.route}",
            self._extract(ended.headers),
            SpanKind.SERVER,
            dict(_http_attributes(ended)),
            start_time=wall(record.arrived),
        )
        if _is_our_fault(ended):
            span.set_status(Status(StatusCode.ERROR))
        inside = set_span_in_context(span)
        operation = _OPERATIONS.get(ended.route, "chat")
        for run in record.runs:
            name = f"{operation} {record.requested_model or run.model}"
            attributes = dict(_run_attributes(operation, record, run))
            started = wall(run.began)
            child = self._tracer.start_span(name, inside, SpanKind.INTERNAL, attributes, start_time=started)
            child.end(now if run.ended is None else wall(run.ended))
        span.end(now)

    def close(self) -> None:
        """Send what is left, or give it up after `_CLOSE_SECONDS`.

        The library tries on for longer where nobody listens; its thread and this one end with the process.
        """
        closing = threading.Thread(target=self._provider.shutdown, name="last traces", daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)
        if closing.is_alive():
            log.warning("the last traces are lost: the collector does not take them")


def open_tracing(endpoint: str | None) -> Tracing | None:
    """Send traces to `endpoint`, or to where OpenTelemetry's variables say; None where neither says so.

    Raises TracingError.
    """
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    if endpoint is None and not (
        os.environ.get("OTEL_TRACES_EXPORTER", "otlp") == "otlp"
        and any(os.environ.get(name) for name in _ENDPOINT_VARIABLES)
    ):
        return None
    if endpoint is not None and not endpoint.startswith(("http://", "https://")):
        raise TracingError(f"--otlp-endpoint should be an address such as http://localhost:4318: {endpoint}")
    protocol = next((os.environ[name] for name in _PROTOCOL_VARIABLES if os.environ.get(name)), _PROTOCOL)
    if protocol != _PROTOCOL:
        raise TracingError(f"traces can be sent by OTLP's protocol '{_PROTOCOL}', not by '{protocol}'")
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise TracingError("traces need more packages: pip install 'llama-caravan[otel]'") from error
    # The exporter takes an address as it is given, and completes only that of its variables.
    exporter = OTLPSpanExporter() if endpoint is None else OTLPSpanExporter(endpoint=_traces_url(endpoint))
    ours = Resource({"service.name": "caravan", "service.version": version()})
    resource = Resource.create().merge(ours).merge(OTELResourceDetector().detect())
    # Its own handler at the end of the process would wait without a limit.
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Tracing(provider)


def _traces_url(endpoint: str) -> str:
    return endpoint.rstrip("/").removesuffix(_PATH) + _PATH


def _http_attributes(ended: EndedRequest) -> Iterator[tuple[str, Any]]:
    yield "http.request.method", ended.method
    yield "http.route", ended.route
    yield "url.path", ended.path
    yield "caravan.request.id", ended.record.request_id
    if ended.status is not None:
        yield "http.response.status_code", ended.status
    if ended.record.key is not None:
        yield "caravan.key.name", ended.record.key
    if ended.record.error_code is not None:
        yield "error.type", ended.record.error_code


def _run_attributes(operation: str, record: RequestMetrics, run: RunMetrics) -> Iterator[tuple[str, Any]]:
    yield "gen_ai.operation.name", operation
    yield "gen_ai.provider.name", "caravan"
    yield "gen_ai.request.model", record.requested_model or run.model
    yield "gen_ai.response.model", run.model
    yield "gen_ai.request.temperature", run.params.temperature
    yield "gen_ai.request.top_p", run.params.top_p
    yield "gen_ai.request.top_k", run.params.top_k
    if run.params.max_tokens is not None:
        yield "gen_ai.request.max_tokens", run.params.max_tokens
    if run.params.seed is not None:
        yield "gen_ai.request.seed", run.params.seed
    if run.num_choices > 1:
        yield "gen_ai.request.choice.count", run.num_choices
    yield "gen_ai.response.finish_reasons", run.finish_reasons
    yield "gen_ai.usage.input_tokens", run.num_prompt_tokens
    yield "gen_ai.usage.cache_read.input_tokens", run.num_cached_tokens
    yield "gen_ai.usage.output_tokens", run.num_completion_tokens
    if run.first_token is not None:
        yield "gen_ai.server.time_to_first_token", run.first_token - record.arrived


def _is_our_fault(ended: EndedRequest) -> bool:
    """Whether the span is one of an error: a refusal is the client's, an error in a stream is ours."""
    if ended.status is None or ended.status < 400:
        return ended.record.error_code is not None
    # 501 says that there is no such thing here, whoever asks.
    return ended.status >= HTTPStatus.INTERNAL_SERVER_ERROR and ended.status != HTTPStatus.NOT_IMPLEMENTED
