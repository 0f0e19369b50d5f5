"""Embeddings as clients see them, over vectors that tell what was asked."""

import base64
import json

import numpy as np
import pytest
from caravan.engine.embedding.values import ModelTraits, Pooling
from caravan_schemas.embeddings import EmbeddingList
from fastapi.testclient import TestClient
from openai.types import CreateEmbeddingResponse

from tests.fakes_web import ScriptedEngine
from tests.waiting import wait_until
from tests.web.uvicorn.raw import connection, head

URL = "/v1/embeddings"


def ask(client: TestClient, **fields: object) -> dict[str, object]:
    """A good answer."""
    response = client.post(URL, json={"model": "fake", "input": "Hi", **fields})
    assert response.status_code == 200, response.text
    answer: dict[str, object] = response.json()
    EmbeddingList.model_validate(answer)
    return answer


def vectors(answer: dict[str, object]) -> list[list[float]]:
    return [item.embedding for item in CreateEmbeddingResponse.model_validate(answer).data]


def expected(pooling: str, *ids: int) -> list[float]:
    numbers = np.array([len(pooling), len(ids), ids[0], ids[-1]], "<f4")
    return [float(number) for number in numbers / np.linalg.norm(numbers)]


def test_the_answer_is_openais(client: TestClient) -> None:
    answer = ask(client)
    CreateEmbeddingResponse.model_validate(answer, strict=True)
    assert answer == {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": expected("mean", 72, 105)}],
        "model": "fake",
        "usage": {"prompt_tokens": 2, "total_tokens": 2},
    }


@pytest.mark.parametrize(
    ("given", "ids"),
    [
        ("ab", [[97, 98]]),
        ([97, 98], [[97, 98]]),
        (["ab", "c"], [[97, 98], [99]]),
        ([[97, 98], [99]], [[97, 98], [99]]),
    ],
)
def test_every_form_of_input_comes_back_in_order(
    client: TestClient, given: object, ids: list[list[int]]
) -> None:
    answer = ask(client, input=given, user="me")
    assert vectors(answer) == [expected("mean", *one) for one in ids]
    assert answer["usage"] == {"prompt_tokens": sum(map(len, ids)), "total_tokens": sum(map(len, ids))}


def test_base64_is_the_same_numbers(client: TestClient) -> None:
    plain = vectors(ask(client, input=["a", "bc"], encoding_format="float"))
    data = ask(client, input=["a", "bc"], encoding_format="base64")["data"]
    assert isinstance(data, list)
    decoded = [np.frombuffer(base64.b64decode(item["embedding"]), "<f4").tolist() for item in data]
    assert decoded == plain


def test_fewer_dimensions_have_length_one_again(client: TestClient) -> None:
    (whole,), (cut,) = vectors(ask(client)), vectors(ask(client, dimensions=2))
    np.testing.assert_allclose(cut, np.array(whole[:2]) / np.linalg.norm(whole[:2]), rtol=1e-6)
    assert vectors(ask(client, dimensions=4))[0] == pytest.approx(whole)


def test_pooling_is_the_models_or_the_requests(client: TestClient, engine: ScriptedEngine) -> None:
    engine.traits = ModelTraits(can_generate=False, embedding_size=4, pooling=Pooling.CLS)
    assert vectors(ask(client)) == [expected("cls", 72, 105)]
    assert vectors(ask(client, pooling="last")) == [expected("last", 72, 105)]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": [[]]}, "input[0]"),
        ({"input": [1, "a"]}, "input[1]"),
        ({"input": 1}, "input"),
        ({"input": [[1], [300]]}, "input[1][0]"),
        ({"input": "x" * 513}, "input"),
        ({"input": "x" * 100_000}, "input"),
        ({"input": ["a", [1]]}, "input[1]"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"dimensions": 5}, "dimensions"),
        ({"dimensions": 0}, "dimensions"),
        ({"pooling": "cls"}, "pooling"),
        ({"pooling": "rank"}, "pooling"),
        ({"inputs": "a"}, "inputs"),
    ],
)
def test_refusals_name_the_field(client: TestClient, fields: dict[str, object], param: str) -> None:
    response = client.post(URL, json={"model": "fake", "input": "Hi", **fields})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


def test_the_context_may_be_filled(client: TestClient) -> None:
    assert ask(client, input="x" * 512)["usage"] == {"prompt_tokens": 512, "total_tokens": 512}


def test_a_model_that_ranks_makes_no_embeddings(client: TestClient, engine: ScriptedEngine) -> None:
    engine.traits = ModelTraits(can_generate=False, embedding_size=4, pooling=Pooling.RANK)
    response = client.post(URL, json={"model": "fake", "input": "Hi"})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "model"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("url", "body"),
    [
        ("/v1/completions", {"prompt": "Hi"}),
        ("/v1/responses", {"input": "Hi"}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}),
    ],
)
def test_an_embedding_model_generates_nothing(
    client: TestClient, engine: ScriptedEngine, url: str, body: dict[str, object], stream: bool
) -> None:
    engine.traits = ModelTraits(can_generate=False, embedding_size=4)
    response = client.post(url, json={"model": "fake", "stream": stream, **body})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "model"
    assert "embeddings only" in response.json()["error"]["message"]


def test_a_client_that_leaves_aborts(live: str, engine: ScriptedEngine) -> None:
    engine.hold_after = 0
    body = json.dumps({"model": "fake", "input": "Hi"}).encode()
    with connection(live) as opened:
        opened.sendall(head(URL, f"content-length: {len(body)}") + body)
        wait_until(lambda: bool(engine.running))
    wait_until(lambda: bool(engine.aborted))
    assert not engine.running
