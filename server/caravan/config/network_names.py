"""Names of hosts and origins of web pages, as options write them."""

import ipaddress
import re

_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[a-z0-9._~-]+)(?::([0-9]{1,5}))?", re.ASCII)
_HOST = re.compile(r"\*|(\*\.)?[\w.-]+|\[?[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*\]?", re.ASCII)
_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_MOST = 65535


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def checked_hosts(hosts: list[str]) -> list[str]:
    """The hosts. Raises ValueError over one with a scheme or a port."""
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise ValueError(f"'{host}' should be a name such as llm.example.org, without scheme or port")
    return hosts


def checked_origins(origins: list[str]) -> list[str]:
    """The origins as browsers write them in `Origin`. Raises ValueError over what no browser sends."""
    return [origin if origin in ("*", "null") else _as_browsers_write(origin) for origin in origins]


def _as_browsers_write(origin: str) -> str:
    """The same origin without its scheme's usual port."""
    if "*" in origin:
        raise ValueError(f"'{origin}' would match nothing: origins are exact, or a '*' alone for all")
    found = _ORIGIN.fullmatch(origin)
    if found is None:
        raise ValueError(
            f"'{origin}' should be an origin such as https://example.org, in small letters of ASCII and "
            "without a path"
        )
    scheme, host, port = found[1], found[2], None if found[3] is None else int(found[3])
    if port is not None and not 0 < port <= _MOST:
        raise ValueError(f"'{origin}' has a port that is not from 1 to {_MOST}")
    if host.startswith("["):
        host = _compressed(host, origin)
    is_usual = port is None or port == _DEFAULT_PORTS.get(scheme)
    return f"{scheme}://{host}" if is_usual else f"{scheme}://{host}:{port}"


def _compressed(host: str, origin: str) -> str:
    try:
        return f"[{ipaddress.IPv6Address(host[1:-1]).compressed}]"
    except ValueError as error:
        raise ValueError(f"'{origin}' has no address of IPv6 in its brackets") from error
