"""HTTPS, with certificates made here."""

import asyncio
import contextlib
import os
import re
import ssl
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import trustme
from caravan.cli import doctor_checks
from caravan.cli.finding import Verdict
from caravan.config.settings import Settings
from caravan.web.lifecycle import open_web
from caravan.web.serve import serve
from caravan.web.startup_message import StartError
from caravan.web.uvicorn.tls import TlsError, server_context
from cryptography.hazmat.primitives import serialization
from pydantic import ValidationError

from tests.cli.test_cli import ROOT, serving
from tests.conftest import TinyModels
from tests.fakes_web import loaded_model, registry_over
from tests.live_server import live_server
from tests.waiting import PATIENCE
from tests.web.uvicorn.raw import connection, head, read_answer, read_to_end

TEXT = "/v1/completions"
BODY = {"model": "fake", "prompt": "Hi"}
# What a TLS client says first: a record of a handshake, with 256 bytes of it to come.
HELLO = b"\x16\x03\x01\x01\x00\x01\x00\x00\xfc\x03\x03" + bytes(32)


class Authority:
    """Signs certificates: its own in `ca`, a server's in `certificate` and `key`, and `both` in one file."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        issued = self.authority.issue_cert("127.0.0.1", "localhost")
        self.ca, self.certificate, self.key, self.both, self.encrypted = (
            folder / f"{name}.pem" for name in ("ca", "certificate", "key", "both", "encrypted")
        )
        self.authority.cert_pem.write_to_path(self.ca)
        self.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(self.key)
        issued.private_key_and_cert_chain_pem.write_to_path(self.both)
        private = serialization.load_pem_private_key(self.key.read_bytes(), None)
        self.encrypted.write_bytes(
            private.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"secret"),
            )
        )

    def trust(self) -> ssl.SSLContext:
        """What a client has that knows this authority alone."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.authority.configure_trust(context)
        return context


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pem"))


@pytest.fixture
def settings(pem: Authority) -> Settings:
    return Settings(tls_certificate=pem.certificate, tls_key=pem.key, shutdown_seconds=0)


def test_a_server_speaks_https_alone(pem: Authority, settings: Settings) -> None:
    with live_server(registry_over(loaded_model()), settings) as address:
        assert address.startswith("https://")
        with httpx.Client(base_url=address, verify=pem.trust()) as client:
            assert client.post(TEXT, json=BODY).status_code == 200
            with client.stream("POST", TEXT, json={**BODY, "stream": True}) as response:
                assert list(response.iter_lines())[-2] == "data: [DONE]"
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(address)
        with connection(address) as plain:
            plain.sendall(head("/health", method="GET"))
            assert b"HTTP" not in read_to_end(plain)
        assert httpx.get(f"{address}/health", verify=pem.trust()).status_code == 200


def test_a_handshake_that_stalls_ends_soon(settings: Settings) -> None:
    """Long before the minute that asyncio allows by default."""
    impatient = settings.model_copy(update={"head_seconds": 0.3})
    with live_server(registry_over(loaded_model()), impatient) as address:
        for begun in (b"", HELLO[:20]):
            with connection(address) as stalled:  # reading ends with an error after 30 s
                stalled.sendall(begun)
                assert read_to_end(stalled) == b""


def test_handshakes_count_as_connections_and_the_oldest_makes_room(
    settings: Settings, pem: Authority
) -> None:
    few = settings.model_copy(update={"max_connections": 3, "head_seconds": 60.0})
    with live_server(registry_over(loaded_model()), few) as address, contextlib.ExitStack() as stack:
        stalled = [stack.enter_context(connection(address)) for _ in range(6)]
        for opened in stalled:
            opened.sendall(HELLO[:20])
        for opened in stalled[:3]:
            with contextlib.suppress(ConnectionResetError):
                assert read_to_end(opened) == b""
        assert httpx.get(f"{address}/health", verify=pem.trust()).status_code == 200
        with contextlib.suppress(ConnectionResetError):
            assert read_to_end(stalled[3]) == b""


def test_a_key_in_the_certificates_file_is_found(pem: Authority) -> None:
    with live_server(registry_over(loaded_model()), Settings(tls_certificate=pem.both)) as address:
        assert httpx.get(f"{address}/health", verify=pem.trust()).status_code == 200


@pytest.mark.parametrize(
    ("version", "is_taken"),
    [(ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True)],
)
def test_versions(pem: Authority, settings: Settings, version: ssl.TLSVersion, *, is_taken: bool) -> None:
    context = pem.trust()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with live_server(registry_over(loaded_model()), settings) as address, connection(address) as opened:
        if not is_taken:
            with pytest.raises(ssl.SSLError):
                context.wrap_socket(opened, server_hostname="localhost")
            return
        with context.wrap_socket(opened, server_hostname="localhost") as encrypted:
            assert encrypted.version() == version.name.replace("_", ".")


def test_limits_hold_inside_tls(pem: Authority, settings: Settings) -> None:
    slow = settings.model_copy(update={"head_seconds": 0.6})
    with (
        live_server(registry_over(loaded_model()), slow) as address,
        connection(address) as opened,
        pem.trust().wrap_socket(opened, server_hostname="localhost") as encrypted,
    ):
        encrypted.sendall(b"POST ")
        assert read_answer(encrypted).status == 408


Wrong = Callable[[Authority, Path], tuple[Path | None, Path | None]]
WRONG: dict[str, tuple[Wrong, str]] = {
    "no certificate": (
        lambda pem, _: (pem.ca.with_name("none"), pem.key),
        r"--tls-certificate .*none: No such file",
    ),
    "no key": (lambda pem, _: (pem.certificate, pem.ca.with_name("none")), r"--tls-key .*none: No such file"),
    "another key": (
        lambda pem, folder: (pem.certificate, Authority(folder).key),
        r"--tls-key .*/key.pem: it is not the key of --tls-certificate .*/certificate.pem",
    ),
    "a key alone": (lambda pem, _: (None, pem.key), "--tls-key needs --tls-certificate"),
    "a certificate alone": (lambda pem, _: (pem.certificate, None), "--tls-certificate .* see --tls-key"),
    "an encrypted key": (
        lambda pem, _: (pem.certificate, pem.encrypted),
        "--tls-key .*: the key is encrypted",
    ),
    "a model": (
        lambda _, folder: (written(folder, b"GGUF"), None),
        "--tls-certificate .*: it is no PEM file",
    ),
    "a key in the place of the certificate": (
        lambda pem, _: (pem.key, pem.key),
        "--tls-certificate .*: there is no certificate in it",
    ),
    "a certificate in the place of the key": (
        lambda pem, _: (pem.certificate, pem.certificate),
        "--tls-key .*: there is no private key in it",
    ),
    "half a certificate": (
        lambda pem, folder: (half(pem.certificate, folder), pem.key),
        "--tls-certificate .*: the certificate in it is damaged or cut off",
    ),
    "half a key": (
        lambda pem, folder: (pem.certificate, written(folder, pem.key.read_bytes()[:100])),
        "--tls-key .*: the private key in it is damaged",
    ),
}


def half(file: Path, folder: Path) -> Path:
    """A PEM file whose text lacks its middle."""
    lines = file.read_bytes().splitlines(keepends=True)
    end = next(number for number, line in enumerate(lines) if line.startswith(b"-----END"))
    return written(folder, b"".join([*lines[: end // 2], lines[end]]))


def written(folder: Path, data: bytes) -> Path:
    path = folder / "file"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("files", "message"), WRONG.values(), ids=WRONG)
def test_files_that_do_not_fit_end_the_start_with_a_line_that_names_the_option(
    pem: Authority, tmp_path: Path, files: Wrong, message: str
) -> None:
    certificate, key = files(pem, tmp_path)
    settings = Settings(tls_certificate=certificate, tls_key=key, port=0)
    with pytest.raises(StartError, match=f"^{message}") as caught:
        asyncio.run(serve(settings, make_registry=lambda _settings: registry_over(loaded_model())))
    assert "\n" not in str(caught.value)
    assert doctor_checks.tls(settings).verdict is Verdict.FAULT


def test_a_folder_is_no_certificate(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"tls_certificate\n.* is a folder, and a regular file"):
        Settings(tls_certificate=tmp_path)


def test_the_doctor_and_those_without_tls(settings: Settings) -> None:
    assert doctor_checks.tls(settings).detail.startswith("on")
    assert doctor_checks.tls(Settings()).detail == "off"
    assert server_context(Settings()) is None
    with pytest.raises(TlsError):
        server_context(settings.model_copy(update={"tls_key": None}))


def test_the_command_prints_https_and_the_chat_goes_there(tiny_models: TinyModels, pem: Authority) -> None:
    options = ("--tls-certificate", str(pem.certificate), "--tls-key", str(pem.key))
    with serving("--model", str(tiny_models["qwen2"]), *options) as (_process, shown):
        base = re.search(r"base URL: (https://127\.0\.0\.1:\d+/v1)\n", shown)
        assert base is not None
        assert f"curl {base[1]}/chat/completions" in shown
        assert chat("--url", base[1], SSL_CERT_FILE=str(pem.ca)).stdout.startswith("model: qwen2")
        assert "CERTIFICATE_VERIFY_FAILED" in chat("--url", base[1]).stderr


def test_a_chat_trusts_the_certificate_of_its_own_server(tiny_models: TinyModels, pem: Authority) -> None:
    variables = {"CARAVAN_TLS_CERTIFICATE": str(pem.certificate), "CARAVAN_TLS_KEY": str(pem.key)}
    ended = chat(str(tiny_models["qwen2"]), **variables)
    assert ended.stdout.startswith("model: qwen2"), ended.stderr


def chat(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """What a conversation of one question shows."""
    return subprocess.run(
        [sys.executable, "-m", "caravan", "chat", *words],
        input="/show\n",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        cwd=ROOT,
        env=os.environ | variables,
        check=False,
    )


DAY = timedelta(days=1)


def dated(folder: Path, begins: timedelta, ends: timedelta) -> Settings:
    """A server whose certificate is valid from `begins` to `ends`, counted from now."""
    now = datetime.now(UTC)
    issued = trustme.CA().issue_cert("localhost", not_before=now + begins, not_after=now + ends)
    file = folder / "dated.pem"
    issued.private_key_and_cert_chain_pem.write_to_path(file)
    return Settings(tls_certificate=file)


@pytest.mark.parametrize(
    ("begins", "ends", "verdict", "told"),
    [
        (-9 * DAY, -DAY, Verdict.FAULT, "has expired on 20"),
        (DAY, 9 * DAY, Verdict.FAULT, "is not valid before 20"),
        (-9 * DAY, 3 * DAY, Verdict.ADVICE, "in 7 days, the certificate of "),
        (-9 * DAY, 90 * DAY, Verdict.FINE, "on; "),
    ],
)
def test_the_doctor_reads_the_dates_of_a_certificate(
    tmp_path: Path,
    begins: timedelta,
    ends: timedelta,
    verdict: Verdict,
    told: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A server that has it starts all the same, and says so: a clock may be wrong."""
    settings = dated(tmp_path, begins, ends)
    finding = doctor_checks.tls(settings)
    assert finding.verdict is verdict
    assert told in finding.detail
    open_web(settings, registry_over(loaded_model()))
    assert ("the certificate of " in caplog.text) is (verdict is Verdict.FAULT)


def test_the_doctor_reads_a_certificate_that_is_its_own_authority(tmp_path: Path) -> None:
    """As `openssl req -x509` makes them."""
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    names = ["-subj", "/CN=home", "-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "certificate")]
    try:
        subprocess.run([*made, *names, "-days", "1"], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no openssl")
    settings = Settings(tls_certificate=tmp_path / "certificate", tls_key=tmp_path / "key")
    assert "the certificate of home has expired" in doctor_checks.tls(settings).detail
    assert doctor_checks.tls(settings).verdict is Verdict.ADVICE
    later = doctor_checks.tls(settings, time.time() + 2 * 86400)
    assert later.verdict is Verdict.FAULT
