"""What browsers are told about every answer: take it for what it says it is, show it in no frame, run and
load nothing for it, keep no copy, and tell other sites nothing of where it was.
"""

from collections.abc import Iterable

Pair = tuple[bytes, bytes]

SECURITY_HEADERS: tuple[Pair, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    # Nearly all have words of users, and the others are small.
    (b"cache-control", b"no-store"),
)


def with_security_headers(headers: Iterable[Pair]) -> list[Pair]:
    """Add to an answer's raw headers, whose names are in small letters, those that it has not set itself."""
    given = list(headers)
    names = {name for name, _ in given}
    return given + [pair for pair in SECURITY_HEADERS if pair[0] not in names]
