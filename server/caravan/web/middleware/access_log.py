"""Every request leaves a trace: an id in and out, a line in the log, its share of the metrics.

Prompts and answers are in none of them.
"""

import logging
import re
import time
import uuid
from collections.abc import Sequence
from http import HTTPMethod, HTTPStatus
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from caravan.api.context import RequestContext
from caravan.observability import request_metrics
from caravan.observability.metrics import Metrics
from caravan.observability.request_metrics import RequestMetrics
from caravan.observability.tracing import EndedRequest, Tracing
from caravan.runtime.panics import contained, is_panic
from caravan.web.middleware.security_headers import with_security
from caravan.web.not_found_hints import shown
from caravan.web.notice_headers import listed
from caravan.web.request_context import use_context

log = logging.getLogger("caravan.requests")

# What a client's own id may look like; it goes into logs and headers.
_REQUEST_ID = re.compile(r"[\w.:/+=-]{1,128}", re.ASCII)
# Asked for every few seconds by machines.
_QUIET = frozenset({"/health", "/ready", "/metrics"})
_NO_ANSWER = 499
# What paths and methods are called that this server does not have: each name is a series.
_OTHER = "other"
_METHODS = frozenset(HTTPMethod)
_PLAIN = "/:@!$&'()*+,;=~"


class AccessLogMiddleware:
    """ASGI middleware around the whole application, whose `routes` are known by their patterns."""

    def __init__(
        self, app: ASGIApp, metrics: Metrics, tracing: Tracing | None, routes: Sequence[BaseRoute]
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._tracing = tracing
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else f"req_{uuid.uuid4().hex}"
        entry = RequestMetrics(request_id, self._metrics)
        request_metrics.use(entry)
        use_context(scope, RequestContext(metrics=entry))
        status: int = _NO_ANSWER

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = with_security(message.get("headers", ()))
                head = MutableHeaders(scope=message)
                head["x-request-id"] = request_id
                head.update({name: listed(items) for name, items in entry.notices.items() if items})
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception:
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            raise
        except BaseException as error:
            # What is no Exception would pass by the handler that answers in the envelope.
            if is_panic(error):
                status = HTTPStatus.INTERNAL_SERVER_ERROR
                raise contained(error) from error
            raise
        finally:
            self._close(scope, entry, status)

    def _close(self, scope: Scope, entry: RequestMetrics, status: int) -> None:
        route = self._route(scope)
        method = scope["method"] if scope["method"] in _METHODS else _OTHER
        self._metrics.http_requests.labels(method, route, status).inc()
        level = logging.DEBUG if scope["path"] in _QUIET else logging.INFO
        if log.isEnabledFor(level):
            fields = _fields(scope, entry, status)
            log.log(level, "%s", _line(fields), extra={"fields": fields})
        if self._tracing is not None and scope["path"] not in _QUIET:
            ended = EndedRequest(
                method=scope["method"],
                path=scope["path"],
                route=route,
                headers=Headers(scope=scope),
                status=None if status == _NO_ANSWER else status,
                record=entry,
            )
            self._tracing.request_ended(ended)

    def _route(self, scope: Scope) -> str:
        """The pattern of the path, so that ids in paths make no series of their own.

        The router has noted it, unless the request was refused before; then it is looked up.
        """
        route = scope.get("route")
        if route is None:
            matching = (route for route in self._routes if route.matches(scope)[0] is not Match.NONE)
            route = next(matching, None)
        return getattr(route, "path", _OTHER)


def _fields(scope: Scope, entry: RequestMetrics, status: int) -> dict[str, object]:
    fields: dict[str, object] = {
        "request_id": entry.request_id,
        "method": shown(scope["method"]),
        "path": written(scope["path"]),
        "status": status,
        "ms": round((time.monotonic() - entry.arrived) * 1000, 1),
    }
    if entry.key is not None:
        fields["key"] = entry.key
    if entry.model is not None:
        fields |= {
            "model": entry.model,
            "prompt_tokens": entry.num_prompt_tokens,
            "cached_tokens": entry.num_cached_tokens,
            "completion_tokens": entry.num_completion_tokens,
        }
    if entry.first_token_seconds is not None:
        fields["first_token_ms"] = round(entry.first_token_seconds * 1000, 1)
    if entry.error_code is not None:
        fields["error"] = entry.error_code
    return fields


def written(path: str) -> str:
    """A path as it stands in an address, where it is one word of plain characters."""
    return shown(quote(path, safe=_PLAIN, errors="replace"))


def _line(fields: dict[str, object]) -> str:
    rest = " ".join(f"{name}={value}" for name, value in list(fields.items())[4:])
    return f"{fields['method']} {fields['path']} {fields['status']} {rest} {fields['request_id']}"
