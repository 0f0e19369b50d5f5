"""The models list."""

import dataclasses
from typing import Any

import openai.types as openai_types
import pytest
from caravan.api.model_cards import _OF_ABILITIES
from caravan.chat.rendering.prompt_template import CHATML
from caravan.config.settings import Settings
from caravan.engine.embedding.values import ModelTraits, Pooling
from caravan.models import ModelRegistry
from caravan.models.file_facts import FileFacts
from caravan.web.app import create_app
from caravan_schemas.chat import ChatCompletionRequest
from fastapi.testclient import TestClient

from tests.fakes_web import FakeVocab, ScriptedEngine, loaded_model, registry_over, spec_of
from tests.web.images import StandInEncoder
from tests.web.messaging import error_of

ANTHROPICS = {"anthropic-version": "2023-06-01"}
# Shows tools and thoughts, in a form that is Hermes'.
HERMES = (
    "{% if tools %}<tool_call>{% for t in tools %}{{ t | tojson }}{% endfor %}</tool_call>{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)
CARD = {
    "id": "fake",
    "object": "model",
    "created": 1_700_000_000,
    "owned_by": "caravan",
    "root": "fake",
    "parent": None,
    "status": "loaded",
    "max_model_len": 512,
    "context_length": 512,
    "context_window": 512,
    "capabilities": ["completion", "tools", "structured_output", "embedding", "rerank"],
    "architecture": {
        "modality": "text->text",
        "input_modalities": ["text"],
        "output_modalities": ["text"],
    },
    "supported_parameters": [
        *("max_tokens", "temperature", "top_p", "top_k", "min_p", "seed", "stop", "logit_bias"),
        *("frequency_penalty", "presence_penalty", "repetition_penalty", "logprobs", "top_logprobs"),
        *("response_format", "structured_outputs", "tools", "tool_choice", "parallel_tool_calls"),
    ],
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


def test_parameters_that_are_listed_are_fields_of_chats() -> None:
    listed = {name for names in _OF_ABILITIES.values() for name in names}
    assert listed <= set(ChatCompletionRequest.model_fields)


@pytest.mark.parametrize("is_loaded", [True, False])
@pytest.mark.parametrize(
    ("template", "facts", "told"),
    [
        (
            HERMES,
            FileFacts(thinks=True, fills_gaps=True),
            ["completion", "tools", "thinking", "insert", "structured_output", "embedding", "rerank"],
        ),
        (CHATML, FileFacts(), ["completion", "tools", "structured_output", "embedding", "rerank"]),
        (
            CHATML,
            FileFacts(modalities=frozenset({"image", "audio"})),
            ["completion", "tools", "vision", "audio", "structured_output", "embedding", "rerank"],
        ),
        (CHATML, FileFacts(can_generate=False), ["embedding"]),
        (CHATML, FileFacts(can_generate=False, ranks=True), ["rerank"]),
    ],
)
def test_a_model_tells_what_it_can_do_loaded_or_not(
    template: str, facts: FileFacts, told: list[str], *, is_loaded: bool
) -> None:
    vocab, engine = FakeVocab(), ScriptedEngine()
    vocab.fill_ids = (1, 2, 3) if facts.fills_gaps else None
    pooling = Pooling.RANK if facts.ranks else Pooling.MEAN
    engine.traits = ModelTraits(can_generate=facts.can_generate, embedding_size=4, pooling=pooling)
    model = loaded_model(engine, vocab=vocab, template=template)
    if facts.modalities:
        encoder = StandInEncoder(facts.modalities)
        model = dataclasses.replace(model, encoder=encoder)
    spec = dataclasses.replace(spec_of(model), read_facts=lambda: facts)
    registry = ModelRegistry([spec])
    with TestClient(create_app(Settings(), registry), base_url="http://localhost") as client:
        assert client.portal is not None
        if is_loaded:
            client.portal.call(registry.start)
        [card] = client.get("/v1/models").json()["data"]
        shown = client.get("/v1/models/fake").json()
        anthropics = client.get("/v1/models/fake", headers=ANTHROPICS).json()["capabilities"]
        capabilities = client.post("/api/show", json={"model": "fake"}).json()["capabilities"]
        assert bool(engine.num_starts) is is_loaded
    assert card["capabilities"] == shown["capabilities"] == told
    read = ["text", *sorted(facts.modalities, reverse=True)]
    assert card["architecture"]["input_modalities"] == read
    assert card["architecture"]["modality"].startswith(f"{'+'.join(read)}->")
    assert anthropics["image_input"]["supported"] is ("image" in facts.modalities)
    written = {"completion": "text", "embedding": "embeddings", "rerank": "rerank"}[told[0]]
    assert card["architecture"]["output_modalities"] == [written]
    assert ("tools" in card["supported_parameters"]) is facts.can_generate
    assert ("reasoning_effort" in card["supported_parameters"]) is facts.thinks
    assert ("temperature" in card["supported_parameters"]) is facts.can_generate
    common = ("structured_output", "embedding", "rerank") if facts.can_generate else ()
    assert capabilities == [ability for ability in told if ability not in common]
    assert anthropics["structured_outputs"]["supported"] is facts.can_generate
    assert anthropics["thinking"]["supported"] is facts.thinks
    assert anthropics["thinking"]["types"]["enabled"]["supported"] is facts.thinks
    assert anthropics["effort"]["high"]["supported"] is facts.thinks


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
        "capabilities": client.get("/v1/models/fake", headers=ANTHROPICS).json()["capabilities"],
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
