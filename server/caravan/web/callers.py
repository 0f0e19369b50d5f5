"""Where a request comes from: this machine or another, a page of this server or of another, and by which name
the server was called.

Every web page may have its reader's browser send requests to any address, those of the reader's own machine
among them. The browser says from where: in `Origin`, or by `Sec-Fetch-Site`. Proxies say for whom they speak.
"""

import ipaddress
import itertools
import re
import socket
from collections.abc import Callable, Collection, Iterator, Sequence
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from caravan.errors import PermissionDeniedError

# In these, proxies name the client, or a list of them; all have to be this machine.
_ADDRESSES = frozenset(
    {
        *("x-forwarded-for", "x-forwarded", "forwarded-for", "x-original-forwarded-for"),
        *("x-real-ip", "x-client-ip", "client-ip", "true-client-ip", "x-cluster-client-ip", "x-remote-ip"),
        *("x-remote-addr", "x-originating-ip", "proxy-client-ip", "wl-proxy-client-ip", "x-proxyuser-ip"),
        *("cf-connecting-ip", "cf-connecting-ipv6", "cf-pseudo-ipv4", "fastly-client-ip", "fly-client-ip"),
        *("cloudfront-viewer-address", "do-connecting-ip", "x-appengine-user-ip", "x-arr-clientip"),
        *("x-azure-clientip", "x-azure-socketip", "x-envoy-external-address", "x-nf-client-connection-ip"),
        *("x-sucuri-clientip", "incap-client-ip", "ali-cdn-real-ip", "x-vercel-forwarded-for"),
    }
)
# These tell that there is a proxy, and not for whom it speaks; so does all that begins with `x-forwarded-`.
_TRACES = frozenset(
    {
        *("via", "cdn-loop", "cf-ray", "cf-visitor", "x-amzn-trace-id", "x-amz-cf-id", "x-azure-ref"),
        *("x-original-host", "x-original-uri", "x-scheme", "x-envoy-internal", "fly-forwarded-proto"),
    }
)
_FORWARDED = "forwarded"
# Under which names the client has called a proxy.
_HOSTS = ("x-forwarded-host", "x-original-host")

_ADDRESS = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::\d{1,5})?|([0-9.]+)(?::\d{1,5})?|([0-9A-Fa-f:.]+)", re.ASCII)
# One pair of RFC 7239 and what ends it. Addresses with ports should be quoted there, and are not always.
_PAIR = re.compile(r'[ \t]*([A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s",;]+))[ \t]*([;,]|\Z)')

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::(\d{1,5}))?", re.ASCII)
_PORTS = {"http": 80, "https": 443}
# By which containers call the machine that they run on.
_CONTAINERS_HOSTS = frozenset({"host.docker.internal", "host.containers.internal"})
# What is under these names, no public server of names answers for (RFC 6762, appendix G; RFC 8375).
_PRIVATE = (
    *(".local", ".localdomain", ".internal", ".intranet", ".private", ".corp", ".home", ".lan"),
    *(".home.arpa", ".svc"),
)

_Place = tuple[str, int]

_FOREIGN = frozenset({"cross-site", "same-site"})
_LONGEST = 100


def is_local(connection: HTTPConnection) -> bool:
    """Say whether a request comes from this machine, by its connection and every header of a proxy."""
    peer = "" if connection.client is None else connection.client.host
    return is_loopback(peer) and all(itertools.starmap(_leaves_it_local, connection.headers.items()))


def is_loopback(text: str) -> bool:
    """Say whether this is an address, without a port, by which a machine speaks to itself."""
    address = _address(text)
    return address is not None and address.is_loopback


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def forwarded_hosts(headers: Headers) -> Iterator[str]:
    """List by which names proxies say that the server was called. What cannot be read is given as it is."""
    for name in _HOSTS:
        for value in headers.getlist(name):
            yield from filter(None, (part.strip() for part in value.split(",")))
    for value in headers.getlist(_FORWARDED):
        try:
            yield from (element["host"] for element in _elements(value) if "host" in element)
        except ValueError:
            yield value


def _leaves_it_local(name: str, value: str) -> bool:
    """Whether a header says nothing of anybody beyond this machine."""
    # Some servers take underscores in names for hyphens.
    name = name.lower().replace("_", "-")
    if name == _FORWARDED:
        try:
            return all(_names_this_machine(element.get("for", "")) for element in _elements(value))
        except ValueError:
            return False
    if name in _ADDRESSES:
        return all(_names_this_machine(part.strip(" \t")) for part in value.split(","))
    return name not in _TRACES and not name.startswith("x-forwarded-")


def _names_this_machine(text: str) -> bool:
    found = _ADDRESS.fullmatch(text)
    return found is not None and is_loopback(found[1] or found[2] or found[3])


def _elements(value: str) -> list[dict[str, str]]:
    """The proxies of a `Forwarded` (RFC 7239) with what each of them says; raises ValueError."""
    elements: list[dict[str, str]] = [{}]
    place = 0
    while found := _PAIR.match(value, place):
        name = found[1].lower()
        if name in elements[-1]:
            raise ValueError("a proxy says a thing twice")
        elements[-1][name] = re.sub(r"\\(.)", r"\1", found[2]) if found[3] is None else found[3]
        if not found[4]:
            return elements
        if found[4] == ",":
            elements.append({})
        place = found.end()
    raise ValueError("it is no list of pairs")


class AllowedHosts:
    """The names that lead here and nowhere else.

    A web page can give its own name this machine's address, and then be a page of this server; so names
    that strangers can register are not taken unless the operator has listed them. An address is no name.
    A server that listens on this machine alone takes only what stands for this machine.
    """

    def __init__(self, bound: str, listed: Sequence[str] = ()) -> None:
        self._bound = bound.lower()
        self._listed = frozenset(_name(entry) for entry in listed)
        self._is_local = bound == "localhost" or is_loopback(bound)
        self._own = socket.gethostname().lower()

    def has(self, host: str) -> bool:
        """Say whether a `Host` is one of them; its port does not matter."""
        if "*" in self._listed:
            return True
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = _name(found[1])
        return self._is_listed(name) or self._is_mine(name)

    def _is_listed(self, name: str) -> bool:
        parts = name.split(".")
        wider = ("*." + ".".join(parts[place:]) for place in range(1, len(parts)))
        return name in self._listed or not self._listed.isdisjoint(wider)

    def _is_mine(self, name: str) -> bool:
        address = _address(name)
        # Clients connect to 0.0.0.0 as if it were this machine.
        if address is not None and (address.is_loopback or address.is_unspecified):
            return True
        if name in ("localhost", self._bound) or name.endswith(".localhost"):
            return True
        if self._is_local:
            return name in _CONTAINERS_HOSTS
        return address is not None or "." not in name or name.endswith(_PRIVATE) or name == self._own


def _place_of(host: str, scheme: str) -> _Place | None:
    """Name and port of a `Host` that was called by `scheme`; None for what is no host."""
    found = _HOST.fullmatch(host)
    if found is None or scheme not in _PORTS:
        return None
    return _name(found[1]), int(found[2] or _PORTS[scheme])


def is_same_place(origin: str, host: str) -> bool:
    """Say whether a page of `origin` is this server's own, which was called by `host`."""
    scheme, _, place = origin.partition("://")
    own = _place_of(host, scheme)
    return own is not None and own == _place_of(place, scheme)


def is_page_of_another(headers: Headers) -> bool:
    """Say whether a request is a page's that this server has not given to a browser on its own machine.

    Names can be made to point here, so the page must have been called by a name that always means the machine
    itself.
    """
    origins, host = headers.getlist("origin"), headers.get("host", "")
    found = _HOST.fullmatch(host)
    is_machine = found is not None and (_name(found[1]) == "localhost" or is_loopback(_name(found[1])))
    return not all(is_machine and is_same_place(origin, host) for origin in origins)


def _name(host: str) -> str:
    return host.strip().lower().strip("[]").removesuffix(".")


class SiteRules:
    """Which requests of browsers are refused: of pages of foreign origins, and by names that strangers gave.

    Pages of `origins` may call. The name matters only while the server `is_open` to those without a key: a
    page that has made its own name point here has no key.
    """

    def __init__(self, origins: Collection[str], hosts: AllowedHosts, is_open: Callable[[], bool]) -> None:
        self._origins = frozenset(origins)
        self._hosts = hosts
        self._is_open = is_open

    def check_origin(self, headers: Headers) -> None:
        """Refuse pages of foreign origins. Raises PermissionDeniedError."""
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

    def check_host(self, headers: Headers) -> None:
        """Refuse names that a web page may have made point here. Raises PermissionDeniedError."""
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
