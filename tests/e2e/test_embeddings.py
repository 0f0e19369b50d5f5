"""OpenAI's client, embeddings of a chat model and of an encoder, each in an engine of its own."""

import resource
import sys
from collections.abc import Generator
from pathlib import Path

import httpx
import numpy as np
import openai
import pytest
from caravan.config.model_settings import ModelSettings
from caravan.config.settings import Settings
from caravan.models import registry_of

from tests.conftest import TinyModels
from tests.live_server import engine_of, live_server
from tests.tiny_bert import write_tiny_bert
from tests.waiting import PATIENCE

TEXTS = ["the wind in the trees", "you and the sea", "the"]


@pytest.fixture(scope="module")
def client(
    tiny_models: TinyModels, tmp_path_factory: pytest.TempPathFactory
) -> Generator[openai.OpenAI, None, None]:
    """A server with both models."""
    bert = tmp_path_factory.mktemp("bert") / "bert.gguf"
    write_tiny_bert(bert)
    models = [
        ModelSettings(path=path, id=name, context_size=size, threads=1, preload=True)
        for path, name, size in [(tiny_models["qwen2"], "chat", 1024), (Path(bert), "bert", 0)]
    ]
    settings = Settings(models=models)
    with (
        live_server(registry_of(settings), settings) as address,
        openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client,
    ):
        yield client


@pytest.mark.parametrize("model", ["chat", "bert"])
def test_openais_client_gets_vectors(client: openai.OpenAI, model: str) -> None:
    create = client.embeddings.create
    together = create(model=model, input=TEXTS)
    assert [item.index for item in together.data] == [0, 1, 2]
    # The client asks for base64 by itself.
    plain = create(model=model, input=TEXTS, encoding_format="float")
    np.testing.assert_allclose(
        [item.embedding for item in together.data], [item.embedding for item in plain.data], atol=1e-6
    )
    for text, item in zip(TEXTS, together.data, strict=True):
        alone = create(model=model, input=text).data[0].embedding
        np.testing.assert_allclose(item.embedding, alone, atol=1e-4)
        assert abs(np.linalg.norm(alone) - 1) < 1e-5
    assert len(create(model=model, input="a", dimensions=16).data[0].embedding) == 16
    assert together.usage.prompt_tokens == together.usage.total_tokens > len(TEXTS)


@pytest.mark.parametrize("model", ["chat", "bert"])
def test_bits_are_the_signs_of_the_numbers(client: openai.OpenAI, model: str) -> None:
    floats = client.embeddings.create(model=model, input=TEXTS, dimensions=16)
    bits = client.embeddings.create(
        model=model,
        input=TEXTS,
        dimensions=16,
        encoding_format="float",
        extra_body={"output_dtype": "ubinary"},
    )
    wanted = [np.packbits(np.array(item.embedding) > 0).tolist() for item in floats.data]
    assert [item.embedding for item in bits.data] == wanted
    assert len(wanted[0]) == 2


@pytest.mark.parametrize("model", ["chat", "bert"])
def test_token_ids_are_taken_as_they_are(client: openai.OpenAI, model: str) -> None:
    answer = httpx.post(
        str(client.base_url).replace("/v1/", "/tokenize"), json={"model": model, "prompt": TEXTS[0]}
    ).json()
    by_ids = client.embeddings.create(model=model, input=answer["tokens"])
    by_text = client.embeddings.create(model=model, input=TEXTS[0])
    assert by_ids.usage.prompt_tokens == answer["count"] == by_text.usage.prompt_tokens
    np.testing.assert_allclose(by_ids.data[0].embedding, by_text.data[0].embedding, atol=1e-6)


def test_inputs_beyond_the_limit_are_refused(client: openai.OpenAI) -> None:
    for model, limit in (("chat", 1024), ("bert", 640)):
        assert client.embeddings.create(model=model, input=[7] * limit).usage.prompt_tokens == limit
        with pytest.raises(openai.BadRequestError, match=f"{limit}.*{limit + 1}") as caught:
            client.embeddings.create(model=model, input=[7] * (limit + 1))
        assert caught.value.param == "input"


def test_an_encoder_refuses_to_generate(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="embeddings only"):
        client.completions.create(model="bert", prompt="the")
    with pytest.raises(openai.BadRequestError, match="embeddings only"):
        client.chat.completions.create(model="bert", messages=[{"role": "user", "content": "the"}])


def test_a_stream_goes_on_beside_embeddings(client: openai.OpenAI) -> None:
    stream = client.completions.create(
        model="chat", prompt="the", max_tokens=200, stream=True, extra_body={"ignore_eos": True}
    )
    assert next(iter(stream)).choices
    assert client.embeddings.create(model="chat", input=[[7] * 900, [8] * 900]).data
    reasons = [choice.finish_reason for chunk in stream for choice in chunk.choices]
    assert reasons[-1] == "length"


@pytest.mark.skipif(sys.platform != "linux", reason="limits another process")
def test_without_memory_there_is_a_503_and_text_goes_on(tiny_models: TinyModels) -> None:
    settings = Settings(model=tiny_models["qwen2"], model_id="chat", context_size=1 << 16, threads=1)
    registry = registry_of(settings)
    with (
        live_server(registry, settings) as address,
        httpx.Client(base_url=address, timeout=PATIENCE) as client,
    ):
        body = {"model": "chat", "prompt": "the sea", "max_tokens": 4, "temperature": 0}
        before = client.post("/v1/completions", json=body).json()["choices"]
        pid = engine_of(registry, "chat").pid
        assert pid is not None
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
        limit = resource.prlimit(pid, resource.RLIMIT_AS)
        # Room for what Python and llama.cpp take by the way, and not for 16 MiB of cells.
        resource.prlimit(pid, resource.RLIMIT_AS, (pages * resource.getpagesize() + (12 << 20), limit[1]))
        given = {"model": "chat", "input": [1] * 40_000}
        refused = client.post("/v1/embeddings", json=given)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "insufficient_memory")
        assert "texts of up to 65536 tokens" in refused.json()["error"]["message"]
        assert int(refused.headers["retry-after"]) > 0
        assert client.post("/v1/completions", json=body).json()["choices"] == before
        resource.prlimit(pid, resource.RLIMIT_AS, limit)
        assert client.post("/v1/embeddings", json={"model": "chat", "input": "the sea"}).status_code == 200
        assert engine_of(registry, "chat").pid == pid
