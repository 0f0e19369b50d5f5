"""Conversations that outlive their model's engine, and their server."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from caravan.config.model_settings import ModelSettings
from caravan.config.settings import Settings
from caravan.models import registry_of

from tests.conftest import TinyModels
from tests.live_server import live_server

TURNS = [
    {"role": "system", "content": "You are a lighthouse keeper. " * 12},
    {"role": "user", "content": "What do you see?"},
]


@contextmanager
def served(tiny_models: TinyModels, folder: Path) -> Iterator[httpx.Client]:
    """Two models of which one fits, and a folder for what they have computed."""
    models = [
        ModelSettings(path=tiny_models[name], id=name, preload=name == "llama", threads=1)
        for name in ("llama", "qwen2")
    ]
    settings = Settings(models=models, max_loaded=1, model_stay_seconds=0, prefix_cache_dir=folder)
    with live_server(registry_of(settings), settings) as address, httpx.Client(base_url=address) as client:
        yield client


def num_computed(client: httpx.Client, model: str) -> int:
    """How many tokens of the prompt are computed to answer it."""
    body = {"model": model, "messages": TURNS, "max_tokens": 6}
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    usage = answer.json()["usage"]
    return int(usage["prompt_tokens"] - usage["prompt_tokens_details"]["cached_tokens"])


def test_models_come_back_with_their_conversations(tiny_models: TinyModels, tmp_path: Path) -> None:
    with served(tiny_models, tmp_path) as client:
        assert num_computed(client, "llama") > 200
        assert num_computed(client, "qwen2") > 200
        assert num_computed(client, "llama") == 1
        assert num_computed(client, "qwen2") == 1
        metrics = client.get("/metrics").text
        assert 'caravan_prefix_cache_hits_total{model="qwen2",place="disk"}' in metrics
    with served(tiny_models, tmp_path) as client:
        assert num_computed(client, "llama") == 1
        assert client.post("/admin/models/llama/unload").status_code == 200
        assert num_computed(client, "llama") == 1


@pytest.mark.parametrize("field", [{"cache_salt": "mine"}, {"cache_prompt": False}])
def test_what_a_request_keeps_to_itself_is_not_kept(
    tiny_models: TinyModels, tmp_path: Path, field: dict[str, object]
) -> None:
    with served(tiny_models, tmp_path) as client:
        body = {"model": "llama", "messages": TURNS, "max_tokens": 2, **field}
        assert client.post("/v1/chat/completions", json=body).status_code == 200
        assert client.post("/admin/models/llama/unload").status_code == 200
    assert list(tmp_path.rglob("*.kv")) == []
