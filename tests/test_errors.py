"""No error is without a code, by which programs decide. OpenAI has null for some; no client relies on it."""

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import caravan
import pytest
from caravan.config.settings import Settings
from caravan.errors import CaravanError, InvalidRequestError, ServerError
from caravan.web.app import create_app
from caravan_schemas.errors import ErrorResponse
from fastapi.testclient import TestClient

from tests.fakes_web import loaded_model, registry_over

SOURCES = sorted(Path(caravan.__file__).parent.rglob("*.py"))
CODE = re.compile(r"[a-z]+(_[a-z]+)*")
CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"


def kinds(base: type[CaravanError] = CaravanError) -> Iterator[type[CaravanError]]:
    yield base
    for kind in base.__subclasses__():
        yield from kinds(kind)


def test_every_kind_of_error_has_a_code_of_its_own() -> None:
    for module in pkgutil.walk_packages(caravan.__path__, "caravan."):
        if module.name.endswith("__main__"):
            continue
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            # It is installed for tests of its own alone.
            if error.name != "ray":
                raise
    found = list(kinds())
    assert len(found) > 20
    assert [kind for kind in found if not CODE.fullmatch(kind.code)] == []
    # The root and faults of ours are one to a client.
    assert [kind for kind in found[1:] if "code" not in vars(kind)] == [ServerError]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(SOURCES[0].parent)))
def test_whoever_refuses_a_request_says_by_a_code_why(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == InvalidRequestError.__name__:
            assert any(keyword.arg == "code" for keyword in node.keywords), f"{path.name}:{node.lineno}"


@pytest.fixture
def client() -> Iterator[TestClient]:
    app = create_app(Settings(), registry_over(loaded_model()))
    with TestClient(app, base_url="http://localhost") as client:
        assert client.portal is not None
        client.portal.call(app.state.services.registry.start)
        yield client


@pytest.mark.parametrize(
    ("content", "headers", "code"),
    [
        (b"", {}, "invalid_json"),
        (b"  ", {}, "invalid_json"),
        (b"{", {}, "invalid_json"),
        (b"nonsense", {}, "invalid_json"),
        (b"\xff\xfe{\0}\0", {}, "invalid_json"),
        (b"[]", {}, "invalid_type"),
        (b"null", {}, "invalid_type"),
        (b"x", {"content-encoding": "gzip"}, "invalid_content_encoding"),
        (b"", {"content-encoding": "gzip"}, "invalid_content_encoding"),
    ],
)
def test_bodies_that_cannot_be_read(
    client: TestClient, content: bytes, headers: dict[str, str], code: str
) -> None:
    for path in (CHAT, RESPONSES):
        answer = client.post(path, content=content, headers=headers)
        error = ErrorResponse.model_validate_json(answer.content).error
        assert (answer.status_code, error.code, error.param) == (400, code, None)


def test_what_cannot_be_cancelled(client: TestClient) -> None:
    made = client.post(RESPONSES, json={"model": "fake", "input": "Hi"}).json()["id"]
    answer = client.post(f"{RESPONSES}/{made}/cancel")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "not_cancellable")
