"""Models and vectors of Ollama's API as clients see them."""

from pathlib import Path

import pytest
from caravan.auth import keys_file
from caravan.config.settings import Settings
from caravan.engine.embedding.values import ModelTraits
from caravan.models import ModelRegistry
from caravan.models.file_facts import FileFacts
from caravan.sizing.sizes import Need
from caravan.web.app import create_app
from caravan_schemas.ollama_answers import (
    OllamaEmbedAnswer,
    OllamaEmbeddingsAnswer,
    OllamaErrorResponse,
    OllamaLoadedList,
    OllamaModelList,
    OllamaShown,
    OllamaVersion,
)
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine, loaded_model, registry_over
from tests.web.routes.test_embeddings import expected


def test_vectors_are_those_of_the_other_route(client: TestClient) -> None:
    asked = {"model": "fake:latest", "input": ["ab", "c"], "truncate": True, "options": {"num_ctx": 9}}
    answer = client.post("/api/embed", json=asked)
    found = OllamaEmbedAnswer.model_validate_json(answer.content)
    assert found.embeddings == [expected("mean", 97, 98), expected("mean", 99)]
    assert (found.model, found.prompt_eval_count) == ("fake:latest", 3)
    assert 0 <= found.load_duration < found.total_duration
    assert answer.headers["x-caravan-ignored"] == "options.num_ctx, truncate"
    shorter = client.post("/api/embed", json={"model": "fake", "input": "ab", "dimensions": 2})
    assert len(shorter.json()["embeddings"][0]) == 2
    older = client.post("/api/embeddings", json={"model": "fake", "prompt": "ab"})
    found_one = OllamaEmbeddingsAnswer.model_validate_json(older.content)
    assert found_one.embedding == found.embeddings[0]


def test_without_a_text_the_model_is_only_loaded(client: TestClient) -> None:
    nothing: tuple[object, ...] = ("", [])
    for given in nothing:
        answer = client.post("/api/embed", json={"model": "fake", "input": given})
        assert answer.json()["embeddings"] == []
    assert client.post("/api/embeddings", json={"model": "fake"}).json() == {"embedding": []}


@pytest.mark.parametrize(
    ("path", "fields", "named"),
    [
        ("/api/embed", {"input": "x" * 600}, "'input'"),
        ("/api/embed", {"input": 3}, "'input' must be a text or an array of texts"),
        ("/api/embed", {"input": "x", "dimensions": 5}, "'dimensions'"),
        ("/api/embeddings", {"prompt": "x" * 600}, "'prompt'"),
    ],
)
def test_what_cannot_be_embedded_is_refused(
    client: TestClient, path: str, fields: dict[str, object], named: str
) -> None:
    answer = client.post(path, json={"model": "fake", **fields})
    assert answer.status_code == 400
    assert named in OllamaErrorResponse.model_validate_json(answer.content).error


def test_models_are_listed_by_names_with_tags(client: TestClient, engine: ScriptedEngine) -> None:
    engine.need = Need(1000, 10)
    [listed] = OllamaModelList.model_validate_json(client.get("/api/tags").content).models
    [loaded] = OllamaLoadedList.model_validate_json(client.get("/api/ps").content).models
    assert listed.name == listed.model == loaded.name == "fake:latest"
    assert listed.modified_at == "2023-11-14T22:13:20Z"
    assert (loaded.size, loaded.size_vram, loaded.context_length) == (1000, 10, 512)


@pytest.mark.parametrize("asked", [{"model": "fake:latest"}, {"name": "fake"}, {}])
def test_a_model_is_shown(client: TestClient, asked: dict[str, str]) -> None:
    answer = client.post("/api/show", json={**asked, "verbose": False})
    shown = OllamaShown.model_validate_json(answer.content)
    assert "num_ctx 512" in shown.parameters.splitlines()
    assert "temperature 0.8" in shown.parameters.splitlines()
    assert shown.capabilities[0] == "completion"


def test_a_model_that_is_not_loaded_is_shown_by_its_file(engine: ScriptedEngine) -> None:
    facts = FileFacts(
        architecture="bert", quantization="F16", num_bytes=7, metadata={"bert.x": 1}, can_generate=False
    )
    [spec] = registry_over(loaded_model(engine)).specs
    object.__setattr__(spec, "read_facts", lambda: facts)
    app = create_app(Settings(), ModelRegistry([spec]))
    with TestClient(app, base_url="http://localhost") as client:
        shown = client.post("/api/show", json={"model": "fake"}).json()
        assert shown["model_info"] == {"bert.x": 1}
        assert shown["details"]["family"] == "bert"
        assert shown["details"]["quantization_level"] == "F16"
        assert shown["capabilities"] == ["embedding"]
        object.__setattr__(spec, "read_facts", FileFacts)
        assert client.post("/api/show", json={}).json()["capabilities"][0] == "completion"
        assert client.get("/api/ps").json() == {"models": []}


def test_an_embedding_model_says_so(client: TestClient, engine: ScriptedEngine) -> None:
    engine.traits = ModelTraits(can_generate=False, embedding_size=4)
    assert client.post("/api/show", json={"model": "fake"}).json()["capabilities"] == ["embedding"]


def test_the_version_says_whose_api_this_is(client: TestClient) -> None:
    OllamaVersion.model_validate_json(client.get("/api/version").content)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/pull"),
        ("POST", "/api/push"),
        ("POST", "/api/create"),
        ("POST", "/api/copy"),
        ("DELETE", "/api/delete"),
        ("POST", "/api/blobs/sha256:00"),
    ],
)
def test_what_changes_models_is_refused(client: TestClient, method: str, path: str) -> None:
    answer = client.request(method, path, json={"model": "fake"})
    assert answer.status_code == 403
    assert "caravan pull" in OllamaErrorResponse.model_validate_json(answer.content).error


def test_keys_hold_here_too(tmp_path: Path, engine: ScriptedEngine) -> None:
    path = tmp_path / "keys.json"
    bearer = {"Authorization": f"Bearer {keys_file.add(path, name='alice', models=['none'])}"}
    app = create_app(Settings(data_dir=tmp_path), registry_over(loaded_model(engine)))
    with TestClient(app, base_url="http://localhost") as client:
        unknown = client.get("/api/tags")
        assert unknown.status_code == 401
        assert "key" in OllamaErrorResponse.model_validate_json(unknown.content).error
        assert client.get("/api/tags", headers=bearer).json() == {"models": []}
        refused = client.post("/api/show", json={"model": "fake"}, headers=bearer)
        assert refused.status_code == 404
        unload = client.post("/api/generate", json={"model": "fake", "keep_alive": 0}, headers=bearer)
        assert unload.status_code == 403
