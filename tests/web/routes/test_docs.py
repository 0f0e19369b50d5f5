"""`/docs` and `/openapi.json`: who is given what, and how it is sent."""

import gzip
import re
from pathlib import Path

import pytest
from caravan.auth import keys_file
from caravan.config.settings import Settings
from caravan.web.app import create_app
from caravan.web.docs_page.files import STATIC
from fastapi.testclient import TestClient

from tests.fakes_web import loaded_model, registry_over

OURS = sorted(path for path in STATIC.iterdir() if not path.name.startswith("swagger-ui"))


def test_the_page_names_files_that_there_are(client: TestClient) -> None:
    page = client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    named = re.findall(r'(?:src|href)="(docs/[^"]+)"', page.text)
    assert len(named) > 4
    for name in named:
        assert client.get(f"/{name}").is_success, name
    for path in OURS:
        for imported in re.findall(r'from "\./([^"]+)"', path.read_text(encoding="utf-8")):
            assert (STATIC / imported).exists(), (path, imported)


@pytest.mark.parametrize("path", OURS, ids=lambda path: str(path.name))
def test_our_files_name_no_other_host(path: Path) -> None:
    addresses = re.findall(r"https?://[^\"' ]+", path.read_text(encoding="utf-8"))
    assert [address for address in addresses if address != "http://www.w3.org/2000/svg"] == []


@pytest.mark.parametrize("path", ["/docs", "/docs/swagger-ui-bundle.js", "/openapi.json"])
def test_a_file_is_packed_for_who_takes_that_and_sent_once(client: TestClient, path: str) -> None:
    plain = client.get(path, headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    with client.stream("GET", path, headers={"accept-encoding": "gzip"}) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw) == plain.content
    assert len(raw) < 480_000
    again = client.get(path, headers={"if-none-match": plain.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_what_is_no_file_of_the_page_is_not_found(client: TestClient) -> None:
    for name in ("nothing.js", "files.py", "..%2ffiles.py", "%2e%2e%2ffiles.py"):
        answer = client.get(f"/docs/{name}")
        assert answer.status_code == 404, name
        assert "error" in answer.json()


def test_the_page_needs_no_key_and_the_document_does(tmp_path: Path) -> None:
    token = keys_file.add(tmp_path / "keys.json", name="alice")
    app = create_app(Settings(keys_file=tmp_path / "keys.json"), registry_over(loaded_model()))
    with TestClient(app, base_url="http://localhost") as client:
        assert client.get("/docs").is_success
        assert client.get("/docs/docs.js").is_success
        assert client.get("/openapi.json").status_code == 401
        assert client.get("/openapi.json", headers={"authorization": f"Bearer {token}"}).is_success


def test_the_document_groups_all_routes_and_takes_a_key(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    groups = [tag["name"] for tag in document["tags"]]
    used = {operation["tags"][0] for path in document["paths"].values() for operation in path.values()}
    assert used == set(groups)
    assert document["security"] == [{"key": []}, {}]
    assert document["components"]["securitySchemes"]["key"] == {"type": "http", "scheme": "bearer"}
