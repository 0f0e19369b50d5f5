"""What the operator's settings change in the application."""

import asyncio
import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from caravan.api.params.presets import PresetError
from caravan.config.settings import Settings
from caravan.web.app import create_app
from caravan.web.serve import serve
from caravan.web.startup_message import StartError
from fastapi.testclient import TestClient

from tests.fakes_web import loaded_model, registry_over

BODY: dict[str, object] = {"model": "fake", "prompt": "Hi"}


@contextmanager
def app(settings: Settings) -> Generator[TestClient, None, None]:
    registry = registry_over(loaded_model())
    with TestClient(create_app(settings, registry), base_url="http://localhost") as client:
        assert client.portal is not None
        client.portal.call(registry.start)
        yield client


def status(client: TestClient, **fields: object) -> int:
    return client.post("/v1/completions", json={**BODY, **fields}).status_code


def test_unknown_fields_pass_unless_the_operator_says_otherwise() -> None:
    with app(Settings(strict_fields=True)) as client:
        assert status(client, nonsense=1) == 400
        assert status(client, logprobs=None) == 200
    with app(Settings()) as client:
        assert status(client, nonsense=1) == 200
        assert status(client, temperature=900) == 400
        assert status(client, lora=[1]) == 400


def test_the_document_says_whether_bodies_may_have_more() -> None:
    for is_strict in (False, True):
        with app(Settings(strict_fields=is_strict)) as client:
            schemas = client.get("/openapi.json").json()["components"]["schemas"]
        for name in ("ChatCompletionRequest", "ResponseRequest", "UserMessage", "FunctionTool"):
            assert schemas[name].get("additionalProperties", True) is not is_strict
        assert schemas["ChatCompletion"]["additionalProperties"] is False


def test_limits_of_one_request() -> None:
    with app(Settings(max_choices=2, max_prompts=3, max_body_bytes=200)) as client:
        assert status(client, n=2) == 200
        assert status(client, n=3) == 400
        assert status(client, prompt=["a"] * 3) == 200
        assert status(client, prompt=["a"] * 4) == 400
        assert status(client, prompt="a" * 200) == 413


def test_defaults_and_presets_of_the_operator(tmp_path: Path) -> None:
    file = tmp_path / "presets.json"
    file.write_text(json.dumps({"short": {"max_tokens": 1}}))
    with app(Settings(defaults={"max_tokens": "2", "stop": "x"}, presets=file)) as client:
        for fields, num_tokens in (({}, 2), ({"max_tokens": 3}, 3), ({"preset": "short"}, 1)):
            answer = client.post("/v1/completions", json={**BODY, **fields}).json()
            assert answer["usage"]["completion_tokens"] == num_tokens
        assert status(client, preset="shrt") == 400


def test_equal_backends_have_one_fingerprint_on_all_routes_and_others_another(tmp_path: Path) -> None:
    file = tmp_path / "presets.json"
    file.write_text(json.dumps({"short": {"max_tokens": 1}}))
    chat = {"model": "fake", "messages": [{"role": "user", "content": "x"}]}
    found: list[str] = []
    for settings in (Settings(), Settings(port=1), Settings(defaults={"top_k": "2"}), Settings(presets=file)):
        with app(settings) as client:
            prints = {
                client.post("/v1/completions", json=BODY).json()["system_fingerprint"],
                client.post("/v1/chat/completions", json=chat).json()["system_fingerprint"],
            }
        assert len(prints) == 1
        found += prints
    assert found[0] == found[1]
    assert len(set(found)) == 3


def test_settings_that_no_request_could_use_end_the_start_with_one_line(tmp_path: Path) -> None:
    wrong = Settings(defaults={"temperature": "900"}, port=0)
    missing = Settings(presets=tmp_path / "missing.json", port=0)
    unusable = Settings(defaults={"mirostat": "2", "temperature": "0"}, port=0)
    for settings in (wrong, missing):
        with pytest.raises(PresetError):
            create_app(settings, registry_over(loaded_model()))
    for settings in (wrong, missing, unusable):
        with pytest.raises(StartError, match=r"^[^\n]+$"):
            asyncio.run(serve(settings, make_registry=lambda _settings: registry_over(loaded_model())))
