"""The `grammar` field over HTTP: both routes, whole and streamed."""

import re

import httpx
import pytest

from tests.e2e.asking import Asker

MOVES = 'root ::= move (" " move){2}\n# a square\nmove ::= [a-h] [1-8]'


@pytest.mark.parametrize("name", ["grammar", "guided_grammar"])
def test_answers_keep_to_a_grammar(ask: Asker, name: str) -> None:
    reply = ask(**{name: MOVES}, n=3, max_tokens=40, temperature=1.5)
    assert reply.reasons == ["stop"] * 3
    assert all(re.fullmatch("[a-h][1-8]( [a-h][1-8]){2}", text) for text in reply.texts)


def test_recursion_nests_properly(ask: Asker) -> None:
    reply = ask(grammar='root ::= "(" root? ")"', n=2, max_tokens=60, temperature=1.5)
    for text, reason in zip(reply.texts, reply.reasons, strict=True):
        assert reason in ("stop", "length")
        assert reason == "length" or text == "(" * (len(text) // 2) + ")" * (len(text) // 2)


def test_an_answer_cut_within_a_grammar_says_so(ask: Asker) -> None:
    reply = ask(grammar='root ::= "a" [b-d]{500} "e"', max_tokens=5)
    assert reply.reasons == ["length"]
    assert reply.text.startswith("a")


@pytest.mark.parametrize(
    ("grammar", "place"),
    [
        ('root ::= "a"\nb ::= (', "line 2, column 8"),
        ('root ::= root "a" | "b"', "line 1, column 1"),
        ('root ::= "a" |\n  missing', "line 2, column 3"),
        ("root ::= <nothing of this name>", "line 1, column 10"),
    ],
)
def test_a_malformed_grammar_is_refused_at_the_place(ask: Asker, grammar: str, place: str) -> None:
    reply = ask(grammar=grammar)
    assert reply.status == 400
    assert reply.error["param"] == "grammar"
    assert place in reply.error["message"]


def test_an_empty_grammar_asks_for_nothing(http: httpx.Client) -> None:
    body = {"model": "tiny", "prompt": "a", "max_tokens": 1, "grammar": ""}
    assert http.post("/v1/completions", json=body).status_code == 200
