"""`GET /` for browsers and for others, and the page's files: without a key, with a policy, kept."""

import base64
import gzip
import hashlib
import re
from pathlib import Path

import pytest
from caravan.config.settings import Settings
from caravan.web.app import create_app
from caravan.web.page import files
from caravan.web.page.files import page_files
from fastapi.testclient import TestClient

from tests.fakes_web import loaded_model, registry_over

BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
STATIC = Path(files.__file__).parent / "static"


@pytest.fixture
def guarded(tmp_path: Path) -> TestClient:
    """A server that asks for keys."""
    settings = Settings(keys_file=tmp_path / "keys.json")
    return TestClient(create_app(settings, registry_over(loaded_model())), base_url="http://localhost")


@pytest.mark.parametrize("accept", ["*/*", "application/json", ""])
def test_clients_of_the_api_are_told_that_there_is_a_server(client: TestClient, accept: str) -> None:
    for method in ("GET", "HEAD"):
        answer = client.request(method, "/", headers={"accept": accept})
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain")
        assert "accept" in answer.headers["vary"]
    assert client.get("/", headers={"accept": accept}).text.startswith("Caravan is running.")


def test_browsers_get_the_page_whose_files_are_there_without_a_key(guarded: TestClient) -> None:
    page = guarded.get("/", headers=BROWSER)
    assert page.headers["content-type"].startswith("text/html")
    loaded = re.findall(r'(?:href|src)="(page/[^"]+)"', page.text)
    assert {name.rpartition(".")[2] for name in loaded} == {"js", "svg"}
    for name in (*loaded, "page/parameters.json"):
        assert guarded.get(f"/{name}").status_code == 200, name
    assert guarded.get("/v1/models").status_code == 401


def test_nothing_is_inline_but_what_the_policy_names_and_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/", headers=BROWSER)
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    for name in ("script", "style"):
        texts = re.findall(rf"<{name}>(.*?)</{name}>", page.text, re.DOTALL)
        hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
        assert policy[f"{name}-src"] == " ".join(["'self'", *(f"'sha256-{each}'" for each in hashes)])
    assert not re.search(r"\son\w+=|\sstyle=|https?://", page.text)


def test_the_first_paint_waits_for_nothing_but_the_document(client: TestClient) -> None:
    page = client.get("/", headers=BROWSER).text
    # A browser neither fetches nor runs what is in a template.
    shown = re.sub("<template.*?</template>", "", page, flags=re.DOTALL)
    assert "modulepreload" in page
    assert re.findall("<(?:link|script)[^>]+>", shown) == re.findall('<link rel="icon"[^>]+>', shown)


def test_a_file_is_kept_for_ever_under_its_version_and_asked_for_again_under_another(
    client: TestClient,
) -> None:
    version = page_files().version
    first = client.get(f"/page/{version}/app.js")
    assert first.headers["cache-control"] == "public, max-age=31536000, immutable"
    older = client.get("/page/0123456789abcdef/app.js")
    assert (older.headers["cache-control"], older.content) == ("no-cache", first.content)
    again = client.get(f"/page/{version}/app.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    page = client.get("/", headers=BROWSER)
    seen = {**BROWSER, "if-none-match": page.headers["etag"]}
    assert client.get("/", headers=seen).status_code == 304


def test_files_are_packed_for_those_who_can_unpack_them(client: TestClient) -> None:
    path = f"/page/{page_files().version}/app.js"
    with client.stream("GET", path, headers={"accept-encoding": "gzip"}) as packed:
        assert packed.headers["content-encoding"] == "gzip"
        body = b"".join(packed.iter_raw())
    plain = client.get(path, headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert gzip.decompress(body) == plain.content == (STATIC / "app.js").read_bytes()


@pytest.mark.parametrize(
    ("accepted", "is_packed"),
    [
        ("deflate, GZIP;q=0.5", True),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000, *", False),
        ("", False),
    ],
)
def test_weights_of_encodings_are_read(client: TestClient, accepted: str, is_packed: bool) -> None:
    answer = client.get(f"/page/{page_files().version}/app.js", headers={"accept-encoding": accepted})
    assert ("content-encoding" in answer.headers) is is_packed


@pytest.mark.parametrize(
    "path", ["nothing.js", "../routes.py", "%2e%2e/routes.py", "index.html", "vendor/marked.d.ts"]
)
def test_there_is_nothing_else(client: TestClient, path: str) -> None:
    assert client.get(f"/page/{page_files().version}/{path}").status_code == 404


def test_it_can_be_left_out(tmp_path: Path) -> None:
    settings = Settings(page=False, keys_file=tmp_path / "keys.json")
    with TestClient(
        create_app(settings, registry_over(loaded_model())), base_url="http://localhost"
    ) as client:
        assert client.get("/", headers=BROWSER).status_code == 401
        assert client.get("/page/parameters.json").status_code == 401
    settings = Settings(page=False)
    with TestClient(
        create_app(settings, registry_over(loaded_model())), base_url="http://localhost"
    ) as client:
        assert client.get("/", headers=BROWSER).text.startswith("Caravan is running.")
        assert client.get("/page/parameters.json").status_code == 404


def test_pages_of_other_sites_get_none_of_it(client: TestClient) -> None:
    foreign = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
    assert client.get("/page/parameters.json", headers=foreign).status_code == 403
    assert client.get("/", headers={**BROWSER, "host": "rebound.example"}).status_code == 403
