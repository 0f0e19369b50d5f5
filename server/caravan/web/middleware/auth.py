"""Who comes in: keys, their limits, and who is allowed without."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from caravan.auth.key_store import KeyStore
from caravan.auth.keys_file import Key
from caravan.auth.principal import Principal
from caravan.auth.rate_limit import Admission, Quotas
from caravan.errors import AuthenticationError, RateLimitError
from caravan.observability.request_metrics import RequestMetrics
from caravan.web.error_response import error_response
from caravan.web.request_context import context_of, use_principal

# Probes have no key, and learn nothing.
OPEN_PATHS = frozenset({"/health", "/ready"})
_COUNTED_METHOD = "POST"
_UNCOUNTED_PATHS = "/admin/"
# Whoever has too much running must be able to end it.
_UNCOUNTED_END = "/cancel"


class AuthMiddleware:
    """ASGI middleware. Where no key is needed, everybody is anonymous and unlimited."""

    def __init__(self, app: ASGIApp, ring: KeyStore, quotas: Quotas, *, share_prefixes: bool) -> None:
        self._app = app
        self._ring = ring
        self._quotas = quotas
        self._share_prefixes = share_prefixes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS or self._ring.is_open():
            await self._app(scope, receive, send)
            return
        try:
            key = self._key(Headers(scope=scope))
        except AuthenticationError as error:
            await error_response(error)(scope, receive, send)
            return
        context_of(scope).metrics.key = key.name
        try:
            admission = self._quotas.enter(key) if _is_counted(scope) else None
        except RateLimitError as error:
            response = error_response(error)
            response.headers.update(self._quotas.headers(key))
            await response(scope, receive, send)
            return
        cache_group = "" if self._share_prefixes else _cache_group(key)
        use_principal(scope, _principal(key, cache_group, admission))
        if admission is None:
            await self._app(scope, receive, send)
        else:
            await self._counted(admission, scope, receive, send)

    async def _counted(self, admission: Admission, scope: Scope, receive: Receive, send: Send) -> None:
        entry = context_of(scope).metrics

        async def telling(message: Message) -> None:
            # Whoever has read an answer to its end finds that it counts no longer.
            if entry.continuing is None and _is_whole(message):
                _leave(admission, entry)
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(admission.headers())
            await send(message)

        try:
            await self._app(scope, receive, telling)
        finally:
            if entry.continuing is None:
                _leave(admission, entry)
            else:
                entry.continuing.add_done_callback(lambda _: _leave(admission, entry))

    def _key(self, headers: Headers) -> Key:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            token = headers.get("x-api-key", "")
        if not token:
            raise AuthenticationError(
                "This server asks for a key: send the header 'Authorization: Bearer KEY'."
            )
        key = self._ring.find(token.strip())
        if key is None:
            raise AuthenticationError("The key is wrong or has been revoked.")
        return key


def _is_whole(message: Message) -> bool:
    """Whether all has been done that is sent with this message or after it."""
    if message["type"] == "http.response.start":
        return any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
    return message["type"] == "http.response.body" and not message.get("more_body", False)


def _leave(admission: Admission, entry: RequestMetrics) -> None:
    admission.leave(entry.num_used_tokens)


def _is_counted(scope: Scope) -> bool:
    path = scope["path"]
    is_free = path.startswith(_UNCOUNTED_PATHS) or path.endswith(_UNCOUNTED_END)
    return bool(scope["method"] == _COUNTED_METHOD and not is_free)


def _cache_group(key: Key) -> str:
    # A group's name is no key's id, whatever it is called.
    return key.id if key.cache_group is None else f"group {key.cache_group}"


def _principal(key: Key, cache_group: str, admission: Admission | None) -> Principal:
    return Principal(
        id=key.id,
        name=key.name,
        is_admin=key.role == "admin",
        models=None if key.models is None else frozenset(key.models),
        cache_group=cache_group,
        priority=key.priority,
        weight=key.weight,
        allowance=admission,
    )
