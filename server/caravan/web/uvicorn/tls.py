"""The server's certificate and key, as TLS needs them."""

import ssl
from pathlib import Path

from caravan.config.settings import Settings
from caravan.web.uvicorn.certificate import UnacceptableError, chain


class TlsError(Exception):
    """Certificate and key cannot be used; the message is one line that names the option."""


def server_context(settings: Settings) -> ssl.SSLContext | None:
    """What HTTPS is spoken with, TLS 1.2 or later; None where it is not asked for. Raises TlsError."""
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


def time_faults(context: ssl.SSLContext, file: Path, now: float) -> list[str]:
    """Why clients would refuse the certificates of `file` now, by dates or purpose; a line each."""
    try:
        return [fault for each in chain(context, file) if (fault := each.fault(now)) is not None]
    except UnacceptableError as error:
        return [f"clients will not accept the certificate as a server's: {error}"]
    except (ssl.SSLError, KeyError, ValueError) as error:
        return [f"the certificate cannot be used in a handshake: {error}"]
