"""Control characters in paths: to a pattern that ends in `$`, a line end at the end is no part of one."""

from pathlib import Path

import pytest
from caravan.auth import keys_file
from caravan.config.settings import Settings
from caravan.web.app import create_app
from caravan_schemas.errors import ErrorResponse
from fastapi.testclient import TestClient

from tests.fakes_web import loaded_model, registry_over


@pytest.mark.parametrize("end", ["%0a", "%0d", "%00", "%7f", "%c2%85"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models/fake"),
        ("GET", "/v1/models"),
        ("GET", "/health"),
        ("GET", "/ready"),
        ("GET", "/docs"),
        ("POST", "/admin/models/fake/load"),
        ("POST", "/v1/chat/completions"),
        ("OPTIONS", "/v1/chat/completions"),
    ],
)
def test_a_path_with_a_control_character_leads_nowhere(
    client: TestClient, method: str, path: str, end: str
) -> None:
    response = client.request(method, path + end)
    error = ErrorResponse.model_validate_json(response.content).error
    assert (response.status_code, error.code) == (404, "unknown_url")
    assert f"{path}{end}".lower() in error.message.lower()


def test_it_is_refused_before_keys_are_asked_for(tmp_path: Path) -> None:
    keys_file.add(tmp_path / "keys.json", name="alice")
    settings = Settings(keys_file=tmp_path / "keys.json")
    with TestClient(create_app(settings, registry_over(loaded_model()))) as client:
        assert client.get("/health%0a").status_code == 404
        assert client.get("/health").status_code == 200
        assert client.get("/v1/models").status_code == 401
