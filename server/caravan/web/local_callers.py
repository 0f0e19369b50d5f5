"""Who counts as a caller on the server's own machine: by the connection, and by what proxies say of whom they
speak for. What says somebody else, says nobody or cannot be read, is not local.
"""

import ipaddress
import itertools
import re
from collections.abc import Iterator

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

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


def is_local(connection: HTTPConnection) -> bool:
    """Whether a request comes from this machine, as its connection and every header of a proxy tell."""
    peer = "" if connection.client is None else connection.client.host
    return is_loopback(peer) and all(itertools.starmap(_leaves_it_local, connection.headers.items()))


def is_loopback(text: str) -> bool:
    """Whether this is an address, without a port, by which a machine speaks to itself."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback


def forwarded_hosts(headers: Headers) -> Iterator[str]:
    """By which names proxies say that the server was called. What cannot be read is given as it is."""
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
