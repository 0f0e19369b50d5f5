"""Images that a request names by an address: fetched from hosts that the operator has listed, and from no
others, whatever a name resolves to and wherever a server sends one on.

A name is resolved once, its addresses are checked, and the connection is made to a checked one, so that a
second answer of the name server's changes nothing.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Sequence
from urllib.parse import SplitResult, urljoin, urlsplit

from caravan.auth.principal import ANONYMOUS, Principal
from caravan.media.values import MediaRefusedError
from caravan.runtime.threads import FairLimiter, in_thread

_MAX_REDIRECTS = 3
_SECONDS = 10.0
# Of all requests: what is fetched is in memory.
_AT_ONCE = 8
_LONGEST_URL = 8192
_REDIRECTS = (301, 302, 303, 307, 308)
_PORTS = {"http": 80, "https": 443}
# What the internet is made of. Within others of IPv6 there may be an address of IPv4, by which a network may
# bring one to its private machines.
_GLOBAL = ipaddress.IPv6Network("2000::/3")
_EMBEDDING = ipaddress.IPv6Network("64:ff9b::/96")
_LAST_32 = 2**32 - 1
# Clouds answer here to their own machines alone.
_OF_CLOUDS = (ipaddress.IPv4Network("192.0.0.0/24"), ipaddress.IPv4Network("168.63.129.16/32"))
_INSTEAD = "Send the image itself, as a data URL such as 'data:image/png;base64,...'"

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


def is_public(address: str) -> bool:
    """Whether anybody on the internet has this address, which is neither private nor this machine's."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv4Address):
        return found.is_global and not found.is_multicast and not any(found in net for net in _OF_CLOUDS)
    embedded = found.ipv4_mapped or found.sixtofour
    if found in _EMBEDDING:
        embedded = ipaddress.IPv4Address(int(found) & _LAST_32)
    if embedded is not None:
        return is_public(str(embedded))
    return found in _GLOBAL and found.is_global and found.teredo is None


async def resolved(host: str, port: int) -> Sequence[str]:
    """The addresses of a name. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[4][0]) for address in found]


class ImageFetcher:
    """Fetches from `hosts`: names, `*.` and a name for all below it, or `*` for any.

    `is_allowed` judges addresses, `resolve` finds them, and of ports only the usual ones are asked, or those
    of `ports`. Belongs to one event loop.
    """

    def __init__(
        self,
        hosts: Sequence[str],
        *,
        is_allowed: Callable[[str], bool] = is_public,
        resolve: Resolve = resolved,
        ports: Container[int] = frozenset(_PORTS.values()),
        seconds: float = _SECONDS,
    ) -> None:
        self._hosts = [host.lower().rstrip(".") for host in hosts]
        self._is_allowed = is_allowed
        self._resolve = resolve
        self._ports = ports
        self._seconds = seconds
        self._turns = FairLimiter(_AT_ONCE)
        self._tls: ssl.SSLContext | None = None

    async def fetch(self, url: str, max_bytes: int, principal: Principal = ANONYMOUS) -> bytes:
        """Fetch an image, of at most so many bytes. Raises MediaRefusedError."""
        if not self._hosts:
            raise MediaRefusedError(f"is an address, and this server fetches no images. {_INSTEAD}")
        if len(url) > _LONGEST_URL:
            raise MediaRefusedError(f"is an address of more than {_LONGEST_URL} characters")
        async with self._turns.held(principal.id, principal.weight):
            if self._tls is None:
                # It reads all authorities of the machine.
                self._tls = await in_thread(_tls_context)
            try:
                async with asyncio.timeout(self._seconds):
                    return await self._followed(url, max_bytes, self._tls)
            except TimeoutError as error:
                raise MediaRefusedError(f"could not be fetched within {self._seconds:g} seconds") from error

    async def _followed(self, url: str, max_bytes: int, tls: ssl.SSLContext) -> bytes:
        for _ in range(_MAX_REDIRECTS + 1):
            target = _split(url)
            self._check_host(target)
            data, location = await self._get(target, max_bytes, tls)
            if location is None:
                return data
            url = _joined(url, location)
        raise MediaRefusedError(f"leads on more than {_MAX_REDIRECTS} times")

    def _check_host(self, target: SplitResult) -> None:
        host = (target.hostname or "").rstrip(".")
        if _port(target) not in self._ports:
            raise MediaRefusedError(f"leads to the port {_port(target)}, which this server does not ask")
        for listed in self._hosts:
            below = listed[1:] if listed.startswith("*.") else None
            if listed in ("*", host) or (below is not None and host.endswith(below)):
                return
        raise MediaRefusedError(
            f"leads to the host '{host[:100]}', from which this server fetches no images. {_INSTEAD}"
        )

    async def _address(self, host: str, port: int) -> str:
        """Return an address of a host, all of whose addresses are public."""
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise MediaRefusedError(f"leads to the host '{host[:100]}', which is not found") from error
        if not addresses or not all(map(self._is_allowed, addresses)):
            raise MediaRefusedError(f"leads to the host '{host[:100]}', which has no public address")
        return addresses[0]

    async def _get(
        self, target: SplitResult, max_bytes: int, tls: ssl.SSLContext
    ) -> tuple[bytes, str | None]:
        """Ask for it once; returns its bytes, or where it is said to be instead."""
        # Few servers ever need it; it has been loaded on a thread.
        import httpx

        host, port = target.hostname or "", _port(target)
        address = await self._address(host, port)
        literal = f"[{address}]" if ":" in address else address
        path = target._replace(scheme="", netloc="", fragment="").geturl() or "/"
        headers = {"host": _host_header(target, port), "accept": "image/*", "accept-encoding": "identity"}
        try:
            async with (
                # Neither a proxy nor a password of the machine's is meant for this, and no cookie is kept.
                httpx.AsyncClient(verify=tls, trust_env=False, timeout=self._seconds) as client,
                client.stream(
                    "GET",
                    f"{target.scheme}://{literal}:{port}{path}",
                    headers=headers,
                    extensions={"sni_hostname": host},
                ) as answer,
            ):
                location = answer.headers.get("location")
                if answer.status_code in _REDIRECTS and location:
                    return b"", location
                if answer.status_code != httpx.codes.OK:
                    raise MediaRefusedError(f"was answered with the status {answer.status_code}")
                return await _received(answer.aiter_raw(), max_bytes), None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise MediaRefusedError(f"could not be fetched: {type(error).__name__}") from error


async def _received(pieces: AsyncIterator[bytes], max_bytes: int) -> bytes:
    data = bytearray()
    async for piece in pieces:
        data += piece
        if len(data) > max_bytes:
            raise MediaRefusedError(f"has more than {max_bytes} bytes")
    return bytes(data)


def _tls_context() -> ssl.SSLContext:
    import httpx

    return httpx.create_ssl_context(trust_env=False)


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise MediaRefusedError("leads on to what is no valid URL") from error


def _split(url: str) -> SplitResult:
    """Take a URL apart, its host as name servers know it. Raises MediaRefusedError."""
    try:
        target = urlsplit(url)
        port, host = target.port, target.hostname or ""
        if not host.isascii():
            host = host.encode("idna").decode("ascii")
            target = target._replace(netloc=host if port is None else f"{host}:{port}")
    except ValueError as error:
        raise MediaRefusedError("is no valid URL") from error
    if target.scheme not in _PORTS or not host or port == 0:
        raise MediaRefusedError("leads to no address of HTTP")
    if "@" in urlsplit(url).netloc:
        raise MediaRefusedError("has a name or a password, which are not sent")
    return target


def _port(target: SplitResult) -> int:
    return target.port or _PORTS[target.scheme]


def _host_header(target: SplitResult, port: int) -> str:
    host = target.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    return shown if port == _PORTS[target.scheme] else f"{shown}:{port}"
