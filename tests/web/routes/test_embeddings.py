"""Embeddings as clients see them, over vectors that tell what was asked."""

import base64
import json

import numpy as np
import pytest
from caravan.api.embeddings import quantized
from caravan.engine.embedding.values import ModelTraits, Pooling
from caravan_schemas.embeddings import EmbeddingList, OutputType
from fastapi.testclient import TestClient
from openai.types import CreateEmbeddingResponse

from tests.fakes_web import ScriptedEngine
from tests.waiting import wait_until
from tests.web.uvicorn.raw import connection, head

KINDS: dict[OutputType, str] = {
    "float": "float32",
    "int8": "int8",
    "uint8": "uint8",
    "binary": "int8",
    "ubinary": "uint8",
}
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
    assert str(answer.pop("id")).startswith("embd-")
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


def test_small_numbers_are_numpys_of_the_same_vector() -> None:
    vector = np.random.default_rng(7).standard_normal(24).astype("<f4")
    vector[3] = 0
    vector /= np.linalg.norm(vector)
    small = np.round(vector.astype(np.float64) * 127)
    bits = np.packbits(np.array([number > 0 for number in vector.tolist()]))
    made = {kind: quantized(vector, kind) for kind in KINDS}
    assert {kind: numbers.dtype.name for kind, numbers in made.items()} == KINDS
    assert made["float"] is vector
    assert made["int8"].tolist() == small.tolist()
    assert made["uint8"].tolist() == (small + 128).tolist()
    assert made["ubinary"].tolist() == bits.tolist()
    assert made["binary"].tolist() == [int(number) - 128 for number in bits]


def test_the_ends_of_the_range_are_numbers_of_one_byte() -> None:
    for sign in (1, -1):
        vector = np.array([sign, 0, 0, 0, 0, 0, 0, 0], "<f4")
        assert quantized(vector, "int8").tolist()[0] == 127 * sign
        assert quantized(vector, "uint8").tolist()[0] == 128 + 127 * sign


@pytest.mark.parametrize("kind", ["int8", "uint8"])
def test_the_answer_has_small_numbers_plain_or_as_bytes(client: TestClient, kind: OutputType) -> None:
    given: dict[str, object] = {"input": ["a", "bc"], "dimensions": 3, "output_dtype": kind}
    floats = vectors(ask(client, input=["a", "bc"], dimensions=3))
    wanted = [quantized(np.array(vector, "<f4"), kind).tolist() for vector in floats]
    assert vectors(ask(client, **given)) == vectors(ask(client, **given, embedding_type=kind)) == wanted
    data = ask(client, **given, encoding_format="base64")["data"]
    assert isinstance(data, list)
    assert [np.frombuffer(base64.b64decode(item["embedding"]), kind).tolist() for item in data] == wanted


def test_fewer_dimensions_have_length_one_again(client: TestClient) -> None:
    (whole,), (cut,) = vectors(ask(client)), vectors(ask(client, dimensions=2))
    np.testing.assert_allclose(cut, np.array(whole[:2]) / np.linalg.norm(whole[:2]), rtol=1e-6)
    assert vectors(ask(client, dimensions=4))[0] == pytest.approx(whole)
    assert vectors(ask(client, output_dimension=2)) == vectors(ask(client, output_dimension=2, dimensions=2))
    assert vectors(ask(client, output_dimension=2)) == [cut]


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
        ({"output_dtype": "int4"}, "output_dtype"),
        ({"output_dtype": "ubinary"}, "output_dtype"),
        ({"output_dtype": "int8", "embedding_type": "ubinary"}, "embedding_type"),
        ({"embedding_types": ["int8"]}, "embedding_types"),
        ({"output_dimension": 5}, "output_dimension"),
        ({"output_dimension": 2, "dimensions": 3}, "output_dimension"),
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
