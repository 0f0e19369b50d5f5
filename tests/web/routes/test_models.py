"""The models list."""

import dataclasses
from typing import Any

import openai.types as openai_types
import pytest
from caravan.config.settings import Settings
from caravan.web.app import create_app
from fastapi.testclient import TestClient

from tests.fakes_web import loaded_model, registry_over
from tests.web.messaging import error_of

ANTHROPICS = {"anthropic-version": "2023-06-01"}
CARD = {
    "id": "fake",
    "object": "model",
    "created": 1_700_000_000,
    "owned_by": "caravan",
    "status": "loaded",
    "max_model_len": 512,
    "context_length": 512,
    "context_window": 512,
    "meta": {"n_ctx": 512, "n_ctx_train": 1024},
}


def test_list(client: TestClient) -> None:
    assert client.get("/v1/models").json() == {"object": "list", "data": [CARD]}


def test_one_model_by_id_and_by_an_alias_with_a_slash(client: TestClient) -> None:
    for name in ("fake", "org/other-name", "org%2Fother-name"):
        card = client.get(f"/v1/models/{name}").json()
        assert {field: card[field] for field in CARD} == CARD
    openai_types.Model.model_validate(CARD, strict=True)


def test_an_unknown_model_is_a_404(client: TestClient) -> None:
    for name in ("none", "fake/x", "%F0%9F%98%80"):
        response = client.get(f"/v1/models/{name}")
        assert response.status_code == 404
        assert response.json()["error"]["code"] == "model_not_found"
        assert response.json()["error"]["param"] == "model"
    response = client.post("/v1/completions", json={"model": "none", "prompt": "Hi"})
    assert response.status_code == 404
    assert "'none'" in response.json()["error"]["message"]
    assert "'fake'" in response.json()["error"]["message"]


def test_a_model_that_is_not_loaded_tells_the_context_that_is_foreseen() -> None:
    with TestClient(
        create_app(Settings(), registry_over(loaded_model())), base_url="http://localhost"
    ) as client:
        [listed] = client.get("/v1/models").json()["data"]
        shown = client.get("/v1/models/fake").json()
    for card in (listed, shown):
        assert card["status"] == "available"
        assert {card[name] for name in ("max_model_len", "context_length", "context_window")} == {256}
        assert card["meta"] == {"n_ctx": 256, "n_ctx_train": 1024}


def test_one_model_shows_its_effective_defaults_and_the_presets() -> None:
    model = dataclasses.replace(loaded_model(), metadata={"general.sampling.top_k": "20"})
    settings = Settings(defaults={"temperature": "0.5"})
    with TestClient(create_app(settings, registry_over(model)), base_url="http://localhost") as client:
        card = client.get("/v1/models/fake").json()
    assert card["defaults"]["temperature"] == {"value": 0.5, "source": "operator"}
    assert card["defaults"]["top_k"] == {"value": 20, "source": "gguf"}
    assert card["defaults"]["min_p"] == {"value": 0.05, "source": "llama.cpp"}
    assert card["defaults"]["samplers"]["value"][0] == "top_n_sigma"
    assert card["presets"]["precise"]["temperature"] == 0.2


def test_anthropics_clients_get_models_in_their_shape(client: TestClient) -> None:
    info = {
        "id": "fake",
        "type": "model",
        "display_name": "fake",
        "created_at": "2023-11-14T22:13:20Z",
        "lifecycle": "active",
        "max_input_tokens": 512,
        "max_tokens": 512,
    }
    page = {"data": [info], "first_id": "fake", "last_id": "fake", "has_more": False}
    assert client.get("/v1/models", headers=ANTHROPICS).json() == page
    assert client.get("/v1/models?beta=true", headers=ANTHROPICS).json() == page
    assert client.get("/v1/models/org/other-name", headers=ANTHROPICS).json() == info
    missing = client.get("/v1/models/none", headers=ANTHROPICS)
    assert error_of(missing) == (404, "not_found_error", "model")


@pytest.fixture(scope="module")
def many() -> TestClient:
    models = [loaded_model(name=name) for name in "abcde"]
    return TestClient(create_app(Settings(), registry_over(*models)), base_url="http://localhost")


@pytest.mark.parametrize(
    ("query", "ids", "has_more"),
    [
        ("", "abcde", False),
        ("limit=2", "ab", True),
        ("limit=2&after_id=b", "cd", True),
        ("limit=2&after_id=d", "e", False),
        ("limit=2&before_id=d", "bc", True),
        ("limit=2&before_id=c", "ab", False),
        ("after_id=e", "", False),
        ("lifecycle=active&lifecycle=retired", "abcde", False),
        ("lifecycle[]=deprecated", "", False),
    ],
)
def test_pages_of_models(many: TestClient, query: str, ids: str, has_more: bool) -> None:
    page: dict[str, Any] = many.get(f"/v1/models?{query}", headers=ANTHROPICS).json()
    assert "".join(model["id"] for model in page["data"]) == ids
    assert (page["first_id"], page["last_id"]) == ((ids[0], ids[-1]) if ids else (None, None))
    assert page["has_more"] == has_more


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("after_id=none", "after_id"),
        ("before_id=none", "before_id"),
        ("before_id=a&after_id=b", "before_id"),
        ("lifecycle=old", "lifecycle[0]"),
    ],
)
def test_pages_that_there_are_not(many: TestClient, query: str, param: str) -> None:
    refused = many.get(f"/v1/models?{query}", headers=ANTHROPICS)
    assert error_of(refused) == (400, "invalid_request_error", param)
