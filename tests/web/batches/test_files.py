"""`/v1/files`, as OpenAI's own client sends and reads it, and forms of all shapes."""

import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import openai
import pytest
from openai.types import FileDeleted, FileObject

from tests.openai_contract import check
from tests.waiting import wait_until
from tests.web.batches.conftest import begin, line

FORM = b'--b\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'


def form(*parts: tuple[bytes, bytes, bytes]) -> bytes:
    return b"".join(FORM % part for part in parts) + b"--b--\r\n"


def file(data: bytes = b"x", name: bytes = b"in.jsonl") -> tuple[bytes, bytes, bytes]:
    return b"file", b'; filename="%b"' % name, data


PURPOSE = (b"purpose", b"", b"batch")


def post(
    live: str, content: bytes | Iterator[bytes], kind: str = "multipart/form-data; boundary=b", **headers: str
) -> httpx.Response:
    return httpx.post(f"{live}/v1/files", content=content, headers={"content-type": kind, **headers})


def kept(options: dict[str, Any]) -> list[Path]:
    return sorted((Path(options["data_dir"]) / "batches" / "files").iterdir())


def test_a_file_is_uploaded_listed_read_and_deleted(client: openai.OpenAI, live: str) -> None:
    data = os.urandom(3_000_000)
    made = client.files.create(file=("dates ü.jsonl", data), purpose="batch")
    check(FileObject, httpx.get(f"{live}/v1/files/{made.id}").json())
    assert (made.filename, made.bytes, made.purpose) == ("dates ü.jsonl", len(data), "batch")
    assert made.expires_at == made.created_at + 30 * 24 * 3600
    assert client.files.retrieve(made.id) == made
    assert client.files.content(made.id).content == data
    assert client.files.list().data == [made]
    check(FileDeleted, httpx.delete(f"{live}/v1/files/{made.id}").json())
    with pytest.raises(openai.NotFoundError, match="not found"):
        client.files.content(made.id)
    assert client.files.list().data == []


def test_lists_come_in_pages(client: openai.OpenAI) -> None:
    made = [client.files.create(file=(f"{number}", b"x"), purpose="batch") for number in range(5)]
    assert [each.id for each in client.files.list(limit=2)] == [each.id for each in reversed(made)]
    assert [each.id for each in client.files.list(limit=2, order="asc")] == [each.id for each in made]
    page = client.files.list(limit=2, order="asc", after=made[1].id)
    assert ([each.id for each in page.data], page.has_more) == ([made[2].id, made[3].id], True)
    assert client.files.list(purpose="batch_output").data == []
    with pytest.raises(openai.BadRequestError, match="not found"):
        client.files.list(after="file-none")


def test_a_file_may_be_kept_for_less(client: openai.OpenAI) -> None:
    made = client.files.create(
        file=b"x", purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert made.expires_at == made.created_at + 3600
    with pytest.raises(openai.BadRequestError, match="must be at least 3600"):
        client.files.create(file=b"x", purpose="batch", expires_after={"anchor": "created_at", "seconds": 5})


def test_other_purposes_are_refused_by_name(client: openai.OpenAI, options: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError, match="'purpose' 'user_data' is not supported") as caught:
        client.files.create(file=b"x", purpose="user_data")
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "purpose")
    assert kept(options) == []


@pytest.mark.parametrize(
    ("content", "code", "param"),
    [
        (b"", "invalid_form", None),
        (b"--b\r\nnonsense", "invalid_form", None),
        (form(file(), PURPOSE)[:-8], "invalid_form", None),
        (form(file()), "missing_required_parameter", "purpose"),
        (form(PURPOSE), "missing_required_parameter", "file"),
        (form((b"file", b"", b"x"), PURPOSE), "invalid_value", "file"),
        (form(file(), file(), PURPOSE), "invalid_value", "file"),
        (form(file(), PURPOSE, PURPOSE), "invalid_value", "purpose"),
        (form(file(), (b"purpose", b'; filename="x"', b"batch")), "invalid_value", "purpose"),
        (form(file(), (b"purpose", b"", b"x" * 5000)), "invalid_value", "purpose"),
        (form(file(), (b"purpose", b"", b"cooking")), "invalid_value", "purpose"),
        (form(file(), PURPOSE, (b"purposes", b"", b"x")), "unknown_parameter", "purposes"),
        (form(file(), PURPOSE, *((b"n%d" % i, b"", b"x") for i in range(20))), "invalid_form", None),
        (form((b"file", b'; filename="%b"' % (b"x" * 9000), b"x"), PURPOSE), "invalid_form", None),
    ],
    ids=range(14),
)
def test_what_is_wrong_with_a_form_is_told_and_nothing_is_kept(
    content: bytes, code: str, param: str | None, live: str, options: dict[str, Any]
) -> None:
    answer = post(live, content)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, code, param), error
    wait_until(lambda: kept(options) == [])


def test_what_is_no_form_is_refused(live: str) -> None:
    for kind in ("application/json", "multipart/form-data", "multipart/form-data; boundary="):
        assert post(live, b"{}", kind).json()["error"]["code"] == "invalid_form"
    refused = post(live, form(file(), PURPOSE), **{"content-encoding": "gzip"})
    assert refused.status_code == 415


def test_fields_that_nobody_knows_are_reported(live: str) -> None:
    answer = post(live, form(file(), PURPOSE, (b"x_note", b"", b"1")))
    assert (answer.status_code, answer.headers["x-caravan-ignored"]) == (200, "x_note")


class TestLimits:
    """Of one file, and of all of a key's."""

    @pytest.fixture
    def options(self, tmp_path: Path) -> dict[str, Any]:
        return {
            "data_dir": str(tmp_path),
            "max_file_bytes": 2_000_000,
            "files_bytes": 3_000_000,
            "body_seconds": 1,
        }

    def test_a_file_that_is_too_large_is_refused_announced_or_not(
        self, live: str, options: dict[str, Any]
    ) -> None:
        def pieces() -> Iterator[bytes]:
            yield FORM % file(b"x" * 1000)
            yield from [b"x" * 100_000] * 30

        for content in (form(file(b"x" * 2_400_000), PURPOSE), pieces()):
            answer = post(live, content)
            assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")
        wait_until(lambda: kept(options) == [])

    def test_a_key_may_have_only_so_much(self, client: openai.OpenAI, live: str) -> None:
        client.files.create(file=b"x" * 1_900_000, purpose="batch")
        answer = post(live, form(file(b"x" * 1_400_000), PURPOSE))
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "storage_limit_exceeded")
        client.files.create(file=b"x" * 1_000_000, purpose="batch")

    def test_who_sends_nothing_more_is_told(self, live: str, options: dict[str, Any]) -> None:
        place = urlsplit(live)
        assert place.hostname is not None
        with socket.create_connection((place.hostname, place.port or 80), timeout=30) as opened:
            head = "POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n"
            opened.sendall(f"{head}Content-Type: multipart/form-data; boundary=b\r\n\r\n".encode())
            opened.sendall(FORM % file(b"x"))
            assert b" 408 " in opened.recv(4096)
        wait_until(lambda: kept(options) == [])

    def test_who_hangs_up_leaves_nothing(self, live: str, options: dict[str, Any]) -> None:
        place = urlsplit(live)
        assert place.hostname is not None
        with socket.create_connection((place.hostname, place.port or 80), timeout=30) as opened:
            head = "POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1900000\r\n"
            opened.sendall(f"{head}Content-Type: multipart/form-data; boundary=b\r\n\r\n".encode())
            opened.sendall(FORM % file(b"x" * 1_200_000))
            wait_until(lambda: (Path(options["data_dir"]) / "batches" / "files").exists() and kept(options))
        wait_until(lambda: kept(options) == [])


def test_a_file_that_a_batch_reads_cannot_be_deleted(client: openai.OpenAI, engine: Any) -> None:  # noqa: ANN401
    engine.hold_after = 0
    batch = begin(client, [line("a")])
    with pytest.raises(openai.ConflictError, match=batch.id):
        client.files.delete(batch.input_file_id)
    engine.hold_after = None


class TestTogether:
    """Several uploads of one key at a time."""

    @pytest.fixture
    def options(self, tmp_path: Path) -> dict[str, Any]:
        return {"data_dir": str(tmp_path), "files_bytes": 3_000_000}

    def test_uploads_at_once_have_no_more_together(self, live: str, options: dict[str, Any]) -> None:
        refused = threading.Event()
        assert httpx.get(f"{live}/v1/files").json()["data"] == []

        def pieces() -> Iterator[bytes]:
            whole = form(file(b"x" * 1_500_000), PURPOSE)
            yield whole[:1_400_000]
            refused.wait(30)
            yield whole[1_400_000:]

        with ThreadPoolExecutor() as pool:
            first = pool.submit(post, live, pieces())
            # The server writes a MiB as soon as it has one, and beside that there is no room for the second.
            wait_until(lambda: sum(path.stat().st_size for path in kept(options)) >= 2**20)
            second = post(live, form(file(b"x" * 1_980_000), PURPOSE))
            refused.set()
            assert first.result().status_code == 200
        assert (second.status_code, second.json()["error"]["code"]) == (413, "storage_limit_exceeded")
