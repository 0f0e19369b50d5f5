"""When the server's certificates are valid, and whether a client would take the first for a server's.

Found out as clients do it, by a handshake with ourselves in memory: `ssl` has no other public way.
"""

import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# X509_V_FLAG_NO_CHECK_TIME of OpenSSL, since 1.1.0: what has expired is to be read, too.
_NO_CHECK_TIME = 0x200000
_MOST_ROUNDS = 8


@dataclass(frozen=True)
class Certificate:
    """One certificate. Times are seconds since the epoch."""

    subject: str
    begins: float
    ends: float

    def fault(self, now: float) -> str | None:
        """Why clients do not accept it at this time; None if they do."""
        if now > self.ends:
            return f"the certificate of {self.subject} has expired on {day(self.ends)}"
        if now < self.begins:
            return f"the certificate of {self.subject} is not valid before {day(self.begins)}"
        return None


class UnacceptableError(Exception):
    """A client that trusted its authority would refuse the certificate all the same; the message says why."""


def day(seconds: float) -> str:
    """A date as people write it, in UTC."""
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


def chain(server: ssl.SSLContext, file: Path) -> list[Certificate]:
    """The certificate that `server` shows, and those of authorities in `file`. Raises UnacceptableError."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags = ssl.VerifyFlags(
        client.verify_flags | ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    )
    client.load_verify_locations(file)
    try:
        shown = _shown(server, client)
    except ssl.SSLCertVerificationError as error:
        raise UnacceptableError(error.verify_message) from error
    return [_read(shown), *map(_read, client.get_ca_certs())]


def _shown(server: ssl.SSLContext, client: ssl.SSLContext) -> dict[str, object]:
    """What the client gets to see of the server's certificate."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True))
    for _ in range(_MOST_ROUNDS):
        are_done = [_goes_on(end) for end in ends]
        if all(are_done):
            break
    return dict(ends[0].getpeercert() or {})


def _goes_on(end: ssl.SSLObject) -> bool:
    """Whether its part of the handshake is done."""
    try:
        end.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def _read(found: Mapping[str, object]) -> Certificate:
    names = [value for part in _parts(found.get("subject")) for _, value in _parts(part)]
    names += [value for _, value in _parts(found.get("subjectAltName"))]
    return Certificate(
        subject=str(names[0]) if names else "the server",
        begins=ssl.cert_time_to_seconds(str(found["notBefore"])),
        ends=ssl.cert_time_to_seconds(str(found["notAfter"])),
    )


def _parts(value: object) -> tuple[tuple[object, object], ...]:
    return value if isinstance(value, tuple) else ()
