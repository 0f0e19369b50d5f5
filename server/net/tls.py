"""The server's certificate and key, as TLS needs them."""

import ssl
from pathlib import Path

from server.settings import Settings


class TlsError(Exception):
    """Certificate and key cannot be used; the message is one line that names the option."""


def server_context(settings: Settings) -> ssl.SSLContext | None:
    """What HTTPS is spoken with, TLS 1.2 or later; None where it is not asked for. Raises TlsError."""
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None:
        if key is not None:
            raise TlsError("--tls-key needs --tls-certificate")
        return None
    _check_readable("--tls-certificate", certificate)
    if key is not None:
        _check_readable("--tls-key", key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        # Without a password of ours OpenSSL would ask for one at the terminal.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        raise TlsError(_explained(error, certificate, key)) from error
    return context


def _check_readable(option: str, path: Path) -> None:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise TlsError(f"{option} {path}: {error.strerror}") from error
    if b"-----BEGIN " not in text:
        raise TlsError(f"{option} {path}: it is no PEM file")
    if option == "--tls-key" and b"ENCRYPTED" in text:
        raise TlsError(f"{option} {path}: the key is encrypted, and there is nobody to ask for its password")


def _explained(error: ssl.SSLError, certificate: Path, key: Path | None) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"--tls-key {key or certificate}: it is not the key of --tls-certificate {certificate}"
    if key is None:
        return f"--tls-certificate {certificate}: no certificate with its key ({error.reason}); see --tls-key"
    return f"--tls-certificate {certificate} and --tls-key {key}: {error.reason or error}"
