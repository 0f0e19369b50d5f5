"""Ranks as clients see them, over an engine whose probabilities are a function of the tokens."""

import math
from typing import Any

import pytest
from caravan_schemas.rank import PairScores, Reranking
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine

Json = dict[str, Any]
RERANK = "/v1/rerank"
SCORE = "/v1/score"
DOCUMENTS = ["B 2", "A 4", "C 1", "D 2"]


@pytest.fixture
def engine() -> ScriptedEngine:
    """Says yes to a document by the number at its end, in eighths."""
    made = ScriptedEngine(context_size=2048)

    def probe(before: tuple[int, ...], token_id: int) -> float:
        text = "".join(chr(each) for each in before if each < 256)
        eighths = int(text.rpartition("<Document>: ")[2].split()[1][0])
        return math.log({"y": eighths, "n": 8 - eighths}.get(chr(token_id), 8) / 8)

    made.probe = probe
    return made


def rerank(client: TestClient, url: str = RERANK, **fields: object) -> Json:
    response = client.post(url, json={"query": "x", "documents": DOCUMENTS, **fields})
    assert response.status_code == 200, response.text
    answer: Json = response.json()
    Reranking.model_validate(answer)
    return answer


@pytest.mark.parametrize("url", [RERANK, "/v2/rerank", "/rerank"])
def test_the_best_come_first_and_equals_keep_their_order(client: TestClient, url: str) -> None:
    answer = rerank(client, url)
    assert [(each["index"], each["relevance_score"]) for each in answer["results"]] == [
        (1, pytest.approx(0.5)),
        (0, pytest.approx(0.25)),
        (3, pytest.approx(0.25)),
        (2, pytest.approx(0.125)),
    ]
    assert all(set(each) == {"index", "relevance_score"} for each in answer["results"])
    assert answer["model"] == "fake"
    assert answer["meta"]["tokens"]["input_tokens"] == answer["usage"]["total_tokens"]


def test_the_prompt_is_that_of_qwen3_reranker(client: TestClient, engine: ScriptedEngine) -> None:
    rerank(client, instruction="Find it", documents=[{"text": "A 1"}])
    text = bytes(each for each in engine.requests[0].token_ids if each < 256).decode()
    assert "<Instruct>: Find it\n<Query>: x\n<Document>: A 1" in text
    assert text.startswith("system\nJudge whether the Document")
    assert len(engine.requests[0].probes[0]) == 2


def test_no_more_than_asked_for_with_their_texts(client: TestClient) -> None:
    results = rerank(client, top_n=2, return_documents=True)["results"]
    assert [each["document"] for each in results] == [{"text": "A 4"}, {"text": "B 2"}]
    assert len(rerank(client, top_n=9)["results"]) == 4


def test_no_more_of_a_document_is_read_than_asked_for(client: TestClient, engine: ScriptedEngine) -> None:
    """A character that is cut goes whole."""
    given = ["A 1 and more", "B 2\u00e9"]
    answer = rerank(client, documents=given, max_tokens_per_doc=4, return_documents=True)
    asked = [bytes(each for each in one.token_ids if each < 256).decode() for one in engine.requests]
    assert {text.rpartition("<Document>: ")[2].split("\n")[0][:4] for text in asked} == {"A 1 ", "B 2"}
    assert {each["document"]["text"] for each in answer["results"]} == set(given)


@pytest.mark.parametrize(
    ("first", "second", "scores"),
    [
        ("q", "A 4", [0.5]),
        ("q", ["A 4", "B 2"], [0.5, 0.25]),
        (["q"], ["A 4", "B 2"], [0.5, 0.25]),
        (["p", "q"], ["A 4", "B 2"], [0.5, 0.25]),
    ],
)
def test_pairs(client: TestClient, first: object, second: object, scores: list[float]) -> None:
    answer = client.post(SCORE, json={"text_1": first, "text_2": second}).json()
    PairScores.model_validate(answer)
    assert [each["score"] for each in answer["data"]] == pytest.approx(scores)
    assert [each["index"] for each in answer["data"]] == list(range(len(scores)))


@pytest.mark.parametrize(
    ("url", "body", "param"),
    [
        (RERANK, {"query": "x"}, "documents"),
        (RERANK, {"query": "x", "documents": []}, "documents"),
        (RERANK, {"query": "x", "documents": [1]}, "documents[0]"),
        (RERANK, {"query": "x", "documents": [{"title": "y"}]}, "documents[0].text"),
        (RERANK, {"query": "x", "documents": ["y"], "top_n": 0}, "top_n"),
        (RERANK, {"query": "x", "documents": ["y 1", "z" * 3000]}, "documents[1]"),
        (SCORE, {"text_1": ["x", "y"], "text_2": ["z"]}, "text_1"),
        (SCORE, {"text_1": "x", "text_2": []}, "text_2"),
        (SCORE, {"text_1": "x", "text_2": "z" * 3000}, "text_2"),
    ],
)
def test_what_cannot_be_ranked(client: TestClient, url: str, body: Json, param: str) -> None:
    answer = client.post(url, json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param


@pytest.mark.parametrize("flip", [False, True])
def test_texts_and_objects_come_in_one_list(client: TestClient, flip: bool) -> None:
    """Whichever is the first: what an object has besides is told."""
    documents: list[object] = ["B 2", {"text": "A 4", "id": "a"}]
    body = {"query": "x", "documents": documents[::-1] if flip else documents}
    response = client.post(RERANK, json=body)
    assert response.status_code == 200, response.text
    assert [each["index"] for each in response.json()["results"]] == ([0, 1] if flip else [1, 0])
    assert response.headers["x-caravan-ignored"] == "documents[].id"
