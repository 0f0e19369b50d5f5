"""What the operator's settings change in the application."""

from collections.abc import Generator
from contextlib import contextmanager

from fastapi.testclient import TestClient

from server.app import create_app
from server.registry import ModelRegistry
from server.settings import Settings
from tests.fakes_web import loaded_model

BODY: dict[str, object] = {"model": "fake", "prompt": "Hi"}


@contextmanager
def app(settings: Settings) -> Generator[TestClient, None, None]:
    registry = ModelRegistry([loaded_model()])
    with TestClient(create_app(settings, registry)) as client:
        assert client.portal is not None
        client.portal.call(registry.start)
        yield client


def status(client: TestClient, **fields: object) -> int:
    return client.post("/v1/completions", json={**BODY, **fields}).status_code


def test_unknown_fields_pass_when_the_operator_says_so() -> None:
    with app(Settings(allow_unknown_fields=True)) as client:
        assert status(client, nonsense=1) == 200
        assert status(client, temperature=9) == 400
        assert status(client, logprobs=5) == 400
    with app(Settings()) as client:
        assert status(client, nonsense=1) == 400


def test_limits_of_one_request() -> None:
    with app(Settings(max_choices=2, max_prompts=3, max_body_bytes=200)) as client:
        assert status(client, n=2) == 200
        assert status(client, n=3) == 400
        assert status(client, prompt=["a"] * 3) == 200
        assert status(client, prompt=["a"] * 4) == 400
        assert status(client, prompt="a" * 200) == 413
