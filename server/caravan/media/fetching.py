"""Images that a request names by an address: fetched from hosts that the operator has listed, and from no
others, whatever a name resolves to and wherever a server sends one on.

A name is resolved once, its addresses are checked, and the connection is made to a checked one, so that a
second answer of the name server's changes nothing.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import SplitResult, urljoin, urlsplit

from caravan.media.values import MediaRefusedError

_MAX_REDIRECTS = 3
_SECONDS = 10.0
_REDIRECTS = (301, 302, 303, 307, 308)
_PORTS = {"http": 80, "https": 443}
# Addresses of IPv4 within those of IPv6, by which a network may bring one to its private machines.
_EMBEDDING = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("::/96"))
_OWN_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
_LAST_32 = 2**32 - 1
_INSTEAD = "Send the image itself, as a data URL such as 'data:image/png;base64,...'"

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


def is_public(address: str) -> bool:
    """Whether anybody on the internet has this address, which is neither private nor this machine's."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        if found in _OWN_NAT64 or found.teredo is not None:
            return False
        embedded = found.ipv4_mapped or found.sixtofour
        if any(found in network for network in _EMBEDDING):
            embedded = ipaddress.IPv4Address(int(found) & _LAST_32)
        if embedded is not None:
            return is_public(str(embedded))
    return found.is_global and not found.is_multicast


async def resolved(host: str, port: int) -> Sequence[str]:
    """The addresses of a name. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[4][0]) for address in found]


class ImageFetcher:
    """Fetches from `hosts`: names, `*.` and a name for all below it, or `*` for any.

    `is_allowed` judges addresses, and `resolve` finds them.
    """

    def __init__(
        self,
        hosts: Sequence[str],
        *,
        is_allowed: Callable[[str], bool] = is_public,
        resolve: Resolve = resolved,
        seconds: float = _SECONDS,
    ) -> None:
        self._hosts = [host.lower().rstrip(".") for host in hosts]
        self._is_allowed = is_allowed
        self._resolve = resolve
        self._seconds = seconds

    async def fetch(self, url: str, max_bytes: int) -> bytes:
        """Fetch an image, of at most so many bytes. Raises MediaRefusedError."""
        if not self._hosts:
            raise MediaRefusedError(f"is an address, and this server fetches no images. {_INSTEAD}")
        try:
            async with asyncio.timeout(self._seconds):
                return await self._followed(url, max_bytes)
        except TimeoutError as error:
            raise MediaRefusedError(f"could not be fetched within {self._seconds:g} seconds") from error

    async def _followed(self, url: str, max_bytes: int) -> bytes:
        for _ in range(_MAX_REDIRECTS + 1):
            target = _split(url)
            self._check_host(target)
            data, location = await self._get(target, max_bytes)
            if location is None:
                return data
            url = urljoin(url, location)
        raise MediaRefusedError(f"leads on more than {_MAX_REDIRECTS} times")

    def _check_host(self, target: SplitResult) -> None:
        host = (target.hostname or "").rstrip(".")
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

    async def _get(self, target: SplitResult, max_bytes: int) -> tuple[bytes, str | None]:
        """Ask for it once; returns its bytes, or where it is said to be instead."""
        # Few servers ever need it, and it takes a while to load.
        import httpx

        host, port = target.hostname or "", _port(target)
        address = await self._address(host, port)
        literal = f"[{address}]" if ":" in address else address
        path = target._replace(scheme="", netloc="", fragment="").geturl() or "/"
        headers = {"host": _host_header(target, port), "accept": "image/*", "accept-encoding": "identity"}
        try:
            async with (
                # Neither a proxy nor a password of the machine's is meant for this.
                httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=self._seconds) as client,
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
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise MediaRefusedError(f"could not be fetched: {type(error).__name__}") from error


async def _received(pieces: object, max_bytes: int) -> bytes:
    data = bytearray()
    async for piece in pieces:  # type: ignore[attr-defined]
        data += piece
        if len(data) > max_bytes:
            raise MediaRefusedError(f"has more than {max_bytes} bytes")
    return bytes(data)


def _split(url: str) -> SplitResult:
    try:
        target = urlsplit(url)
        port = target.port
    except ValueError as error:
        raise MediaRefusedError("is no valid URL") from error
    if target.scheme not in _PORTS or not target.hostname or port == 0:
        raise MediaRefusedError("leads to no address of HTTP")
    if target.username is not None or target.password is not None:
        raise MediaRefusedError("has a name or a password, which are not sent")
    return target


def _port(target: SplitResult) -> int:
    return target.port or _PORTS[target.scheme]


def _host_header(target: SplitResult, port: int) -> str:
    host = target.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    return shown if port == _PORTS[target.scheme] else f"{shown}:{port}"
