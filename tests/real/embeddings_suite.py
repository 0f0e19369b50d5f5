"""A sentence encoder's vectors: those of the published weights, by arithmetic that is not llama.cpp's."""

import base64
from itertools import pairwise

import numpy as np
import pytest

from tests.real.bert_reference import BertReference
from tests.real.conftest import RealServer
from tests.real.materials import MINILM_VOCABULARY, MINILM_WEIGHTS

QUESTION = "How many people live in Berlin?"
# From near to far.
ANSWERS = (
    "Berlin has a population of 3,520,031 registered inhabitants.",
    "Berlin is well known for its museums.",
    "A cat sleeps on the mat.",
)


@pytest.fixture(scope="module")
def reference() -> BertReference:
    return BertReference(MINILM_WEIGHTS)


def _embed(minilm: RealServer, texts: list[str]) -> np.ndarray:
    data = minilm.client.embeddings.create(model=minilm.model, input=texts, encoding_format="float").data
    assert [entry.index for entry in data] == list(range(len(texts)))
    return np.array([entry.embedding for entry in data])


def _word_ids(*words: str) -> list[int]:
    vocabulary = MINILM_VOCABULARY.read_text(encoding="utf-8").splitlines()
    return [vocabulary.index(word) for word in ("[CLS]", *words, "[SEP]")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A cat sleeps on the mat.", ["a", "cat", "sleeps", "on", "the", "mat", "."]),
        (
            "Unaffable ÉCLAIRS, isn't it?",
            ["una", "##ffa", "##ble", "ec", "##lai", "##rs", ",", "isn", "'", "t", "it", "?"],
        ),
        ("東京 2024", ["東", "京", "202", "##4"]),
    ],
)
def test_vectors_are_those_of_the_published_weights(
    minilm: RealServer, reference: BertReference, text: str, words: list[str]
) -> None:
    [vector] = _embed(minilm, [text])
    assert vector @ reference.embed(_word_ids(*words)) > 0.9999


def test_the_longest_text(minilm: RealServer, reference: BertReference) -> None:
    """As many tokens as the model was trained with, markers included."""
    [vector] = _embed(minilm, ["cat " * 510])
    assert vector @ reference.embed(_word_ids(*["cat"] * 510)) > 0.9999


def test_a_text_that_is_too_long_is_refused(minilm: RealServer) -> None:
    with pytest.raises(Exception, match="512") as caught:
        _embed(minilm, ["cat " * 511])
    assert getattr(caught.value, "status_code", None) == 400


def test_what_is_alike_is_near(minilm: RealServer) -> None:
    question, *answers = _embed(minilm, [QUESTION, *ANSWERS])
    nearness = [question @ answer for answer in answers]
    assert all(nearer > farther + 0.1 for nearer, farther in pairwise(nearness)), nearness


def test_a_text_has_its_vector_in_any_company(minilm: RealServer) -> None:
    texts = [*ANSWERS, QUESTION, "cat " * 300]
    together = _embed(minilm, texts)
    alone = np.array([_embed(minilm, [text])[0] for text in texts])
    assert np.allclose(np.linalg.norm(together, axis=1), 1)
    assert ((together * alone).sum(axis=1) > 0.99999).all()


def test_base64_and_token_ids(minilm: RealServer) -> None:
    [floats] = _embed(minilm, [QUESTION])
    body = {"model": minilm.model, "content": QUESTION, "add_special": True}
    ids = minilm.client.post("/tokenize", cast_to=dict, body=body)
    given = minilm.client.embeddings.create(
        model=minilm.model, input=[ids["tokens"]], encoding_format="base64"
    )
    # Its type says a list, whatever was asked for.
    raw = str(given.data[0].embedding)
    assert np.allclose(np.frombuffer(base64.b64decode(raw), np.float32), floats, atol=1e-6)
    assert given.usage.prompt_tokens == len(ids["tokens"])
