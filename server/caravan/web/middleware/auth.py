"""Who comes in: which paths, web pages and names are let through, keys, their limits, and who needs none."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from caravan.api.context import context_of, use_context
from caravan.api.usage import UsageBook
from caravan.auth.holders import Holders
from caravan.auth.keys_file import Key
from caravan.auth.ledger import Allowance
from caravan.auth.principal import Principal
from caravan.errors import AuthenticationError, InvalidRequestError, RateLimitError
from caravan.observability.request_metrics import RequestMetrics
from caravan.web.callers import SiteRules
from caravan.web.error_response import error_response
from caravan.web.middleware.access_log import quoted_path
from caravan.web.middleware.cors import CorsMiddleware
from caravan.web.not_found_hints import shortened
from caravan.web.request_body import held_body

# Probes have no key, and learn nothing.
OPEN_PATHS = frozenset({"/health", "/v1/health", "/ready"})
_COUNTED_METHOD = "POST"
_UNCOUNTED_PATHS = "/admin/"
# Whoever has too much running must be able to end it.
_UNCOUNTED_ENDS = ("/cancel", "/control")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class _UnknownPathError(InvalidRequestError):
    status = 404
    code = "unknown_url"


class AuthMiddleware:
    """ASGI middleware. Where no key is needed, everybody is anonymous and unlimited.

    Pages of `cors_origins` are told that they may call. Without keys, requests may ask for a priority up to
    `max_priority`. Paths that `is_public` names ask nobody for a key.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        holders: Holders,
        usage: UsageBook,
        sites: SiteRules,
        max_priority: int = 0,
        cors_origins: Sequence[str] = (),
        is_public: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._app = app
        self._holders = holders
        self._keys = holders.keys
        self._ledger = holders.ledger
        self._usage = usage
        self._sites = sites
        self._is_public = is_public
        self._anonymous = Principal(max_priority=max_priority)
        has_cors = bool(cors_origins)
        self._let_in: ASGIApp = CorsMiddleware(self._identify, cors_origins) if has_cors else self._identify

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI). Raises InvalidRequestError over what is refused, whoever sends it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, headers = scope["path"], Headers(scope=scope)
        if _CONTROL.search(path):
            # Patterns of routes and lists of paths would read it differently.
            where = f"{shortened(scope['method'])} {quoted_path(path)}"
            raise _UnknownPathError(
                f"Unknown request URL: {where}. There are no control characters in paths here."
            )
        self._sites.check_origin(headers)
        if path not in OPEN_PATHS:
            self._sites.check_host(headers)
        await self._let_in(scope, receive, send)

    async def _identify(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Find out whose request it is, and whether its key allows one more (ASGI)."""
        context = context_of(scope)
        path = scope["path"]
        if path in OPEN_PATHS or self._keys.is_open() or self._is_public(path):
            use_context(scope, replace(context, principal=self._anonymous))
            await self._serve(None, scope, receive, send)
            return
        try:
            key = self._key(Headers(scope=scope))
        except AuthenticationError as error:
            await error_response(error)(scope, receive, send)
            return
        context.metrics.key = key.name
        try:
            admission = await self._ledger.enter(key) if _is_counted(scope) else None
        except RateLimitError as error:
            response = error_response(error)
            response.headers.update(await self._ledger.headers(key))
            await response(scope, receive, send)
            return
        use_context(scope, replace(context, principal=self._holders.principal(key, admission)))
        await self._serve(admission, scope, receive, send)

    async def _serve(self, admission: Allowance | None, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request in, and give back at its end what it had (ASGI)."""
        entry, who = context_of(scope).metrics, context_of(scope).principal
        is_head = scope["method"] == "HEAD"
        if admission is not None:
            send = _telling(admission, entry, send)
        if is_head:
            # The head of what GET would answer. A stream is given up then, as if its client had left.
            scope["method"], send = "GET", _head_alone(send)
        try:
            await self._app(scope, receive, send)
        finally:
            if is_head:
                scope["method"] = "HEAD"
            if (body := held_body(scope)) is not None:
                _at_the_end(entry, body.release)
            if admission is not None:
                _at_the_end(entry, lambda: admission.leave(entry.num_used_tokens))
            _at_the_end(entry, lambda: self._usage.count(who, entry))

    def _key(self, headers: Headers) -> Key:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            token = headers.get("x-api-key", "")
        if not token:
            raise AuthenticationError(
                "This server asks for a key: send the header 'Authorization: Bearer KEY'."
            )
        key = self._keys.find(token.strip())
        if key is None:
            raise AuthenticationError("The key is wrong or has been revoked.")
        return key


def _at_the_end(entry: RequestMetrics, act: Callable[[], None]) -> None:
    """Act now, or when that ends which goes on after the request has been answered."""
    if entry.continuing is None:
        act()
    else:
        entry.continuing.add_done_callback(lambda _: act())


def _telling(admission: Allowance, entry: RequestMetrics, send: Send) -> Send:
    """Tell what is left of the key's limits. Who has read all of an answer finds that it counts no longer."""

    async def tell(message: Message) -> None:
        if entry.continuing is None and _is_whole(message):
            admission.leave(entry.num_used_tokens)
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(admission.headers())
        await send(message)

    return tell


def _head_alone(send: Send) -> Send:
    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return send_head


def _is_whole(message: Message) -> bool:
    """Whether all has been done that is sent with this message or after it."""
    if message["type"] == "http.response.start":
        return any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
    return message["type"] == "http.response.body" and not message.get("more_body", False)


def _is_counted(scope: Scope) -> bool:
    path = scope["path"]
    is_free = path.startswith(_UNCOUNTED_PATHS) or path.endswith(_UNCOUNTED_ENDS)
    return bool(scope["method"] == _COUNTED_METHOD and not is_free)
