"""Every request leaves a trace: an id in and out, a line in the log, its share of the metrics. And every one
has an answer, whatever ends it.

Prompts and answers are in none of the traces.
"""

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from functools import partial
from http import HTTPMethod, HTTPStatus
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from caravan.api.context import RequestContext, use_context
from caravan.errors import CaravanError, EngineUnavailableError
from caravan.observability import request_metrics
from caravan.observability.metrics import Metrics
from caravan.observability.request_metrics import RequestMetrics
from caravan.observability.tracing import EndedRequest, Tracing
from caravan.runtime.panics import contained, is_panic
from caravan.web.envelopes import id_headers, with_security_headers
from caravan.web.error_response import LINES, error_event, error_line, error_response, fault_response
from caravan.web.not_found_hints import shortened

log = logging.getLogger("caravan.requests")

# What a client's own id may look like; it goes into logs and headers.
_REQUEST_ID = re.compile(r"[\w.:/+=-]{1,128}", re.ASCII)
# Asked for every few seconds by machines; and the files of pages, some fifty each time.
_QUIET = re.compile(r"/(v1/)?health|/ready|/metrics|/page/.*|/docs/.*")
_NO_ANSWER = 499
# What paths and methods are called that this server does not have: each name is a series.
_OTHER = "other"
_METHODS = frozenset(HTTPMethod)
_PLAIN_IN_PATHS = "/:@!$&'()*+,;=~"
# A head is bounded at many places between a server and its client.
_MAX_LISTED = 1_000
_MAX_ITEM = 200
# What paths and JSON pointers are written with; commas separate the items.
_PLAIN_IN_LISTS = "/~#[]$._-:"
# When the server ends: when to come again, and how long a client that does not read is waited for.
_RETRY_SECONDS = 5
_LAST_WORD_SECONDS = 1.0


class AccessLogMiddleware:
    """ASGI middleware around the whole application, whose `routes` are known by their patterns.

    Routes notice it themselves when their client leaves. Who cancels a request as a whole is the server, when
    it ends and waits no longer; uvicorn would answer in plain words of its own, or with half a stream.
    """

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
        answer = _Answer(entry, send, scope)
        try:
            await self._app(scope, receive, answer.send)
        except asyncio.CancelledError:
            async with asyncio.timeout(_LAST_WORD_SECONDS):
                if not await answer.break_off(scope, receive):
                    raise
        except BaseException as error:
            is_fault = isinstance(error, Exception) or is_panic(error)
            if answer.has_begun or not is_fault:
                answer.status = HTTPStatus.INTERNAL_SERVER_ERROR if is_fault else answer.status
                raise contained(error) from error
            refused = (
                error_response(error) if isinstance(error, CaravanError) else fault_response(scope, error)
            )
            await refused(scope, receive, answer.send)
        finally:
            self._close(scope, entry, answer.status)

    def _close(self, scope: Scope, entry: RequestMetrics, status: int) -> None:
        route = self._route(scope)
        method = scope["method"] if scope["method"] in _METHODS else _OTHER
        self._metrics.http_requests.labels(method, route, status).inc()
        is_quiet = _QUIET.fullmatch(scope["path"]) is not None
        level = logging.DEBUG if is_quiet else logging.INFO
        if log.isEnabledFor(level):
            fields = _fields(scope, entry, status)
            log.log(level, "%s", _line(fields), extra={"fields": fields})
        if self._tracing is not None and not is_quiet:
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


class _Answer:
    """One answer on its way; gets the headers that every answer has."""

    def __init__(self, entry: RequestMetrics, send: Send, scope: Scope) -> None:
        self.status: int = _NO_ANSWER
        self.has_begun = False
        self._has_ended = False
        self._write_error: Callable[[CaravanError, RequestMetrics], bytes] | None = None
        self._entry = entry
        self._send = send
        self._scope = scope

    async def send(self, message: Message) -> None:
        """Send a part of it (ASGI)."""
        if message["type"] == "http.response.start":
            self.status, self.has_begun = message["status"], True
            message["headers"] = with_security_headers(message.get("headers", ()))
            head = MutableHeaders(scope=message)
            head.update(dict.fromkeys(id_headers(self._scope), self._entry.request_id))
            head.update({name: header_list(items) for name, items in self._entry.notices.items() if items})
            kind = head.get("content-type", "").partition(";")[0]
            if kind == "text/event-stream":
                self._write_error = partial(error_event, scope=self._scope)
            elif kind == LINES:
                self._write_error = error_line
        else:
            self._has_ended = not message.get("more_body", False)
        await self._send(message)

    async def break_off(self, scope: Scope, receive: Receive) -> bool:
        """Tell the client that the server ends; False if what has been sent does not allow it."""
        error = EngineUnavailableError("The server is shutting down.", retry_after=_RETRY_SECONDS)
        if not self.has_begun:
            await error_response(error)(scope, receive, self.send)
            return True
        if self._has_ended or self._write_error is None:
            return False
        body = self._write_error(error, self._entry)
        await self.send({"type": "http.response.body", "body": body, "more_body": False})
        return True


def header_list(items: Collection[str]) -> str:
    """Write items as a header's value: in ASCII, with commas, and in the end how many are left out."""
    written: list[str] = []
    num_characters = 0
    for item in items:
        # A field may have no name at all, and a value of a header may not end with white space.
        word = quote(item[:_MAX_ITEM], safe=_PLAIN_IN_LISTS, errors="replace")[:_MAX_ITEM] or '""'
        num_characters += len(word) + 2
        if num_characters > _MAX_LISTED:
            return ", ".join([*written, f"and {len(items) - len(written)} more"])
        written.append(word)
    return ", ".join(written)


def _fields(scope: Scope, entry: RequestMetrics, status: int) -> dict[str, object]:
    fields: dict[str, object] = {
        "request_id": entry.request_id,
        "method": shortened(scope["method"]),
        "path": quoted_path(scope["path"]),
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


def quoted_path(path: str) -> str:
    """Write a path as it stands in an address: as one word of plain characters."""
    return shortened(quote(path, safe=_PLAIN_IN_PATHS, errors="replace"))


def _line(fields: dict[str, object]) -> str:
    rest = " ".join(f"{name}={value}" for name, value in list(fields.items())[4:])
    return f"{fields['method']} {fields['path']} {fields['status']} {rest} {fields['request_id']}"
