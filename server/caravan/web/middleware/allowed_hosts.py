"""By which names a client may call this server: what a `Host` says, and whether it can be another's."""

import ipaddress
import re
import socket
from collections.abc import Sequence

from caravan.web.local_callers import is_loopback

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::(\d{1,5}))?", re.ASCII)
_PORTS = {"http": 80, "https": 443}
# By which containers call the machine that they run on.
_CONTAINERS_HOSTS = frozenset({"host.docker.internal", "host.containers.internal"})
# What is under these names, no public server of names answers for (RFC 6762, appendix G; RFC 8375).
_PRIVATE = (
    *(".local", ".localdomain", ".internal", ".intranet", ".private", ".corp", ".home", ".lan"),
    *(".home.arpa", ".svc"),
)

Place = tuple[str, int]


class AllowedHosts:
    """The names that lead here and nowhere else.

    A web page can give its own name this machine's address, and then be a page of this server; so names
    that strangers can register are not taken unless the operator has listed them. An address is no name.
    A server that listens on this machine alone takes only what stands for this machine.
    """

    def __init__(self, bound: str, listed: Sequence[str] = ()) -> None:
        self._bound = bound.lower()
        self._listed = frozenset(_name(entry) for entry in listed)
        self._is_local = bound == "localhost" or (_is_loopback(bound) and not _is_every_address(bound))
        self._own = socket.gethostname().lower()

    def has(self, host: str) -> bool:
        """Whether a `Host` is one of them; its port says nothing."""
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
        if name == "localhost" or name.endswith(".localhost") or _is_loopback(name) or name == self._bound:
            return True
        if self._is_local:
            return name in _CONTAINERS_HOSTS
        return _is_address(name) or "." not in name or name.endswith(_PRIVATE) or name == self._own


def place_of(host: str, scheme: str) -> Place | None:
    """Name and port of a `Host` that was called by `scheme`; None for what is no host."""
    found = _HOST.fullmatch(host)
    if found is None or scheme not in _PORTS:
        return None
    return _name(found[1]), int(found[2] or _PORTS[scheme])


def is_same_place(origin: str, host: str) -> bool:
    """Whether a page of `origin` is this server's own, which was called by `host`."""
    scheme, _, place = origin.partition("://")
    own = place_of(host, scheme)
    return own is not None and own == place_of(place, scheme)


def _name(host: str) -> str:
    return host.strip().lower().strip("[]").removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_every_address(name: str) -> bool:
    address = ipaddress.ip_address(name)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_unspecified


def _is_loopback(name: str) -> bool:
    # Clients connect to 0.0.0.0 as if it were this machine.
    return is_loopback(name) or (_is_address(name) and _is_every_address(name))
