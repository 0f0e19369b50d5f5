"""The server's certificate and key: read, explained where they cannot be used, and seen as clients do."""

import ssl
import time
from collections.abc import Mapping
from pathlib import Path

from caravan.config.settings import Settings

# X509_V_FLAG_NO_CHECK_TIME of OpenSSL, since 1.1.0: what has expired is to be read, too.
_NO_CHECK_TIME = 0x200000
_MOST_ROUNDS = 8


class TlsError(Exception):
    """Certificate and key cannot be used; the message is one line that names the option."""


def server_context(settings: Settings) -> ssl.SSLContext | None:
    """Open the certificate for HTTPS, TLS 1.2 or later; None where it is not asked for. Raises TlsError."""
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None:
        if key is not None:
            raise TlsError("--tls-key needs --tls-certificate")
        return None
    _check_readable("--tls-certificate", certificate, is_key_inside=key is None)
    if key is not None:
        _check_readable("--tls-key", key, is_key_inside=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        # Without a password of ours OpenSSL would ask for one at the terminal.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        raise TlsError(_explained(error, certificate, key)) from error
    return context


def _check_readable(option: str, path: Path, *, is_key_inside: bool) -> None:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise TlsError(f"{option} {path}: {error.strerror}") from error
    if b"-----BEGIN " not in text:
        raise TlsError(f"{option} {path}: it is no PEM file")
    if option == "--tls-key" and b"PRIVATE KEY-----" not in text:
        raise TlsError(f"{option} {path}: there is no private key in it")
    if option == "--tls-certificate" and b"CERTIFICATE-----" not in text:
        raise TlsError(f"{option} {path}: there is no certificate in it")
    if is_key_inside and b"ENCRYPTED" in text:
        raise TlsError(f"{option} {path}: the key is encrypted, and there is nobody to ask for its password")


def _explained(error: ssl.SSLError, certificate: Path, key: Path | None) -> str:
    """What is wrong with which file; OpenSSL tells neither."""
    reason = error.reason or ""
    if reason.endswith("_MISMATCH"):
        return f"--tls-key {key or certificate}: it is not the key of --tls-certificate {certificate}"
    if reason.endswith(("_KEY_TOO_SMALL", "_MD_TOO_WEAK")):
        what = "its key is too short" if "KEY" in reason else "it is signed by a method that is too weak"
        return f"--tls-certificate {certificate}: {what} for this system's rules of security"
    if not _is_certificate(certificate):
        return f"--tls-certificate {certificate}: the certificate in it is damaged or cut off"
    if key is None and b"PRIVATE KEY-----" not in certificate.read_bytes():
        return f"--tls-certificate {certificate}: its private key is not in it; see --tls-key"
    return f"--tls-key {key or certificate}: the private key in it is damaged, cut off or of an unknown kind"


def _is_certificate(path: Path) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        return False
    return True


def certificate_faults(context: ssl.SSLContext, file: Path, now: float) -> list[str]:
    """Say why clients would refuse the certificates of `file` now, by dates or purpose; a line each."""
    try:
        return [fault for found in _chain(context, file) if (fault := _time_fault(found, now)) is not None]
    except ssl.SSLCertVerificationError as error:
        return [f"clients will not accept the certificate as a server's: {error.verify_message}"]
    except (ssl.SSLError, KeyError, ValueError) as error:
        return [f"the certificate cannot be used in a handshake: {error}"]


def _chain(server: ssl.SSLContext, file: Path) -> list[Mapping[str, object]]:
    """The certificate that `server` shows, and those of authorities in `file`, as `ssl` tells them.

    Found out as clients do it, by a handshake with ourselves in memory: `ssl` has no other public way. Raises
    SSLCertVerificationError where a client that trusted its authority would refuse it all the same.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags = ssl.VerifyFlags(
        client.verify_flags | ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    )
    client.load_verify_locations(file)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True))
    for _ in range(_MOST_ROUNDS):
        are_done = [_goes_on(end) for end in ends]
        if all(are_done):
            break
    return [ends[0].getpeercert() or {}, *client.get_ca_certs()]


def _goes_on(end: ssl.SSLObject) -> bool:
    """Whether its part of the handshake is done."""
    try:
        end.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def _time_fault(found: Mapping[str, object], now: float) -> str | None:
    """Why clients do not accept a certificate at this time, in seconds since the epoch; None if they do."""
    begins, ends = (ssl.cert_time_to_seconds(str(found[end])) for end in ("notBefore", "notAfter"))
    names = [value for part in _parts(found.get("subject")) for _, value in _parts(part)]
    names += [value for _, value in _parts(found.get("subjectAltName"))]
    subject = names[0] if names else "the server"
    if now > ends:
        return f"the certificate of {subject} has expired on {_day(ends)}"
    if now < begins:
        return f"the certificate of {subject} is not valid before {_day(begins)}"
    return None


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


def _parts(value: object) -> tuple[tuple[object, object], ...]:
    return value if isinstance(value, tuple) else ()
