"""Fields that are neither about decoding nor about content: caches, tiers, verbosity, predictions."""

import pytest
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine

CHAT = {"model": "fake", "messages": [{"role": "user", "content": "x"}]}
TEXT = {"model": "fake", "prompt": "x"}
ROUTES = [("/v1/chat/completions", CHAT), ("/v1/completions", TEXT)]


@pytest.mark.parametrize(("url", "body"), ROUTES)
def test_a_salt_separates_and_an_unshared_prompt_is_alone(
    client: TestClient, engine: ScriptedEngine, url: str, body: dict[str, object]
) -> None:
    wishes: list[dict[str, object]] = [
        {},
        {"cache_prompt": True},
        {"cache_salt": "a"},
        {"cache_salt": "a"},
        {"cache_salt": "b"},
        {"cache_prompt": False},
        {"cache_prompt": False},
    ]
    for wish in wishes:
        assert client.post(url, json={**body, **wish}).status_code == 200
    plain, shared, first, second, other, alone, alone_too = (r.cache_salt for r in engine.requests)
    assert plain == shared
    assert first == second
    assert len({plain, first, other, alone, alone_too}) == 5


@pytest.mark.parametrize(("url", "body"), ROUTES)
def test_n_predict_is_a_name_of_max_tokens(
    client: TestClient, engine: ScriptedEngine, url: str, body: dict[str, object]
) -> None:
    assert client.post(url, json={**body, "n_predict": 2}).json()["usage"]["completion_tokens"] == 2
    assert engine.requests[0].params.max_tokens == 2
    refused = client.post(url, json={**body, "n_predict": 2, "max_tokens": 3})
    assert refused.status_code == 400


@pytest.mark.parametrize(("url", "body"), ROUTES)
def test_what_is_the_operators_choice_is_told(client: TestClient, url: str, body: dict[str, object]) -> None:
    asked = {
        "num_ctx": 4096,
        "num_thread": 4,
        "num_batch": 512,
        "guided_decoding_backend": "xgrammar",
    }
    answer = client.post(url, json={**body, **asked})
    assert answer.status_code == 200
    assert set(answer.headers["x-caravan-ignored"].split(", ")) == set(asked)
    assert client.post(url, json={**body, "num_ctx": "long"}).json()["error"]["param"] == "num_ctx"


def test_verbosity_is_for_templates_that_know_it(client: TestClient) -> None:
    url = ROUTES[0][0]
    assert client.post(url, json={**CHAT, "verbosity": "medium"}).status_code == 200
    error = client.post(url, json={**CHAT, "verbosity": "low"}).json()["error"]
    assert (error["param"], error["code"]) == ("verbosity", "unsupported_parameter")


def test_a_prediction_and_the_default_tier_have_no_effect(client: TestClient) -> None:
    asked = {"prediction": {"type": "content", "content": "x"}, "service_tier": "auto"}
    plain, answer = (client.post(ROUTES[0][0], json={**CHAT, **more}).json() for more in ({}, asked))
    assert answer["choices"] == plain["choices"]
    assert answer["service_tier"] == "default"
    assert answer["usage"]["completion_tokens_details"]["accepted_prediction_tokens"] == 0


def test_notes_of_litellm_pass_if_they_say_nothing(client: TestClient) -> None:
    for notes, status in (({"refusal": None}, 200), ({"refusal": "no"}, 400)):
        past = {"role": "assistant", "content": "y", "provider_specific_fields": notes}
        messages = [{"role": "user", "content": "x"}, past, {"role": "user", "content": "z"}]
        assert client.post(ROUTES[0][0], json={**CHAT, "messages": messages}).status_code == status
