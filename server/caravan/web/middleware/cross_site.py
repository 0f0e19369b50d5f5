"""What browsers send on behalf of pages that are not this server's.

Every page may have its reader's browser send requests to any address, those of the reader's own machine among
them. The browser says from where: in `Origin`, or by `Sec-Fetch-Site`.
"""

from collections.abc import Callable, Collection
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from caravan.errors import PermissionDeniedError
from caravan.web.error_response import error_response
from caravan.web.local_callers import forwarded_hosts
from caravan.web.middleware.allowed_hosts import AllowedHosts, is_same_place

_FOREIGN = frozenset({"cross-site", "same-site"})
_LONGEST = 100


class CrossSiteMiddleware:
    """ASGI middleware. Refuses pages of foreign origins, and names by which nobody has called this server.

    A page of `origins` may call. The name matters only while the server `is_open` to those without a key: a
    page that has made its own name point here has no key. `unnamed` paths may be asked for by any name.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        origins: Collection[str],
        hosts: AllowedHosts,
        is_open: Callable[[], bool],
        unnamed: Collection[str],
    ) -> None:
        self._app = app
        self._origins = frozenset(origins)
        self._hosts = hosts
        self._is_open = is_open
        self._unnamed = frozenset(unnamed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] == "http":
            try:
                headers = Headers(scope=scope)
                self._check_origin(headers)
                if scope["path"] not in self._unnamed:
                    self._check_host(headers)
            except PermissionDeniedError as error:
                await error_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check_origin(self, headers: Headers) -> None:
        if "*" in self._origins:
            return
        for origin in headers.getlist("origin"):
            if origin not in self._origins and not is_same_place(origin, headers.get("host", "")):
                raise PermissionDeniedError(
                    f"Pages of {_shown(origin)} may not call this server. Its operator can let them: "
                    f"--cors-origins {_shown(origin)}",
                    code="origin_not_allowed",
                )
        # Pictures, scripts and the like are fetched without an origin; who follows a link is welcome.
        is_fetched = headers.get("sec-fetch-mode", "navigate") != "navigate"
        if is_fetched and "origin" not in headers and headers.get("sec-fetch-site") in _FOREIGN:
            raise PermissionDeniedError(
                "Pages of other sites may not include what this server has.", code="origin_not_allowed"
            )

    def _check_host(self, headers: Headers) -> None:
        if not self._is_open():
            return
        # No browser leaves the name out. A proxy on the way may have put its own in the place of it.
        for host in (headers.get("host", ""), *forwarded_hosts(headers)):
            if host and not self._hosts.has(host):
                name = _shown(host.rpartition(":")[0] or host)
                raise PermissionDeniedError(
                    f"This server is not known by the name {name}, which a web page may have made point "
                    f"here. Its operator can add the name: --allowed-hosts {name}",
                    code="host_not_allowed",
                )


def _shown(text: str) -> str:
    return quote(text[:_LONGEST], safe="/:@[]*!$&'()+,;=~-._", errors="replace")
