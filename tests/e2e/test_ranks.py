"""A ranking model behind its routes: each pair is read as its tokenizer joins two texts."""

import math
from collections.abc import Generator
from pathlib import Path

import gguf
import httpx
import pytest
from caravan.api.decisions import cross_encoder
from caravan.config.model_settings import ModelSettings
from caravan.config.settings import Settings
from caravan.llama.model import Model
from caravan.models import registry_of

from tests.engine.embedding.test_ranks import expected, judged
from tests.live_server import live_server
from tests.tiny_bert import TOKENS, write_tiny_bert
from tests.tiny_model import write_tiny_judge
from tests.waiting import PATIENCE

TEMPLATE = "<|im_start|>user\nQuery: {query} Document: {document}<|im_end|>\n"
QUERY = "the wind"
DOCUMENTS = ["in the tree", "going", "[SEP] and the tree", "the wind"]


@pytest.fixture(scope="module")
def ranker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a head."""
    path = tmp_path_factory.mktemp("ranks") / "ranker.gguf"
    write_tiny_bert(path, pooling=gguf.PoolingType.RANK, has_head=True)
    return path


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that says yes or no, and has learnt how a pair is asked about."""
    path = tmp_path_factory.mktemp("ranks") / "judge.gguf"
    write_tiny_judge(path, TEMPLATE)
    return path


@pytest.fixture(scope="module")
def client(ranker: Path, judge: Path) -> Generator[httpx.Client, None, None]:
    """A server with both."""
    models = [ModelSettings(path=path, id=path.stem, threads=1, preload=True) for path in (ranker, judge)]
    settings = Settings(models=models)
    with (
        live_server(registry_of(settings), settings) as address,
        httpx.Client(base_url=address, timeout=PATIENCE) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def shares(ranker: Path) -> list[float]:
    """What has to come for each document."""
    begin, separator = TOKENS.index("[CLS]"), TOKENS.index("[SEP]")
    model = Model(ranker)

    def plain(text: str) -> list[int]:
        return model.vocab.tokenize(text, add_special=False, parse_special=False)

    pairs = [(begin, *plain(QUERY), separator, *plain(text), separator) for text in DOCUMENTS]
    found = [1 / (1 + math.exp(-expected(model, pair))) for pair in pairs]
    model.close()
    return found


def test_documents_come_in_the_order_of_the_heads_numbers(client: httpx.Client, shares: list[float]) -> None:
    body = {"model": "ranker", "query": QUERY, "documents": DOCUMENTS, "return_documents": True}
    results = client.post("/v1/rerank", json=body).json()["results"]
    order = sorted(range(len(shares)), key=lambda index: -shares[index])
    assert [each["index"] for each in results] == order
    assert [each["relevance_score"] for each in results] == pytest.approx(
        [shares[index] for index in order], abs=1e-4
    )
    assert results[0]["document"] == {"text": DOCUMENTS[order[0]]}


def test_pairs_are_scored(client: httpx.Client, shares: list[float]) -> None:
    body = {"model": "ranker", "text_1": QUERY, "text_2": DOCUMENTS}
    answer = client.post("/v1/score", json=body).json()
    assert [each["score"] for each in answer["data"]] == pytest.approx(shares, abs=1e-4)
    assert answer["usage"]["prompt_tokens"] > 5 * len(DOCUMENTS)


def test_a_judge_is_asked_by_its_own_template(client: httpx.Client, judge: Path) -> None:
    body = {"model": "judge", "query": QUERY, "documents": DOCUMENTS}
    results = client.post("/v1/rerank", json=body).json()["results"]
    model = Model(judge)
    for each in results:
        text = TEMPLATE.replace("{query}", QUERY).replace("{document}", DOCUMENTS[each["index"]])
        token_ids = model.vocab.tokenize(text, add_special=False, parse_special=True)
        assert each["relevance_score"] == pytest.approx(judged(model, tuple(token_ids))[0], abs=1e-4)
    model.close()
    told = client.post("/v1/completions", json={"model": "judge", "prompt": "x", "max_tokens": 1})
    assert told.status_code == 200


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        ("/v1/rerank", {"query": QUERY, "documents": ["a"], "instruction": "Find."}, "instruction"),
        ("/v1/rerank", {"query": QUERY, "documents": ["a", "the " * 700]}, "documents[1]"),
        ("/v1/embeddings", {"input": "the"}, "model"),
        ("/v1/completions", {"prompt": "the"}, "model"),
    ],
)
def test_what_it_cannot_do_is_refused(
    client: httpx.Client, path: str, fields: dict[str, object], param: str
) -> None:
    answer = client.post(path, json={"model": "ranker", **fields})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


def test_a_long_query_is_not_read_again_without_end(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cross_encoder, "MAX_TOKENS", 1024)
    # White space is no token, whatever there is of it.
    body = {"model": "ranker", "query": " " * 3200, "documents": ["a"] * 5}
    assert client.post("/v1/rerank", json=body).status_code == 200
    error = client.post("/v1/rerank", json={**body, "documents": ["a"] * 50}).json()["error"]
    assert error["param"] == "documents[5]"
    assert "1024 tokens or 16384 characters" in error["message"]
