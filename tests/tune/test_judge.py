"""A judge on another server: it is asked there, without the key of the server that answers."""

import asyncio
from typing import Any

import httpx
import pytest
from caravan.tune.client import Answer, Client
from caravan.tune.errors import SearchError
from caravan.tune.objectives import Judge
from caravan.tune.scorers.judge import JudgeScorer
from caravan.tune.scorers.scorer import Case
from caravan.tune.search import http_of
from caravan.tune.task import Prompt, Task
from pydantic import ValidationError

HOME = "http://127.0.0.1:8000/v1"


def judged(url: str | None, document: Any, prompt: Prompt | None = None) -> tuple[float, httpx.Request]:  # noqa: ANN401 (JSON)
    """The score of an answer, and the request to the judge, which answers with the document."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=document)

    async def score() -> float:
        task = Task.model_validate(
            {
                "prompts": [{"prompt": "?"}],
                "objectives": [{"scorer": "judge", "question": "It is good.", "url": url}],
                "space": {"temperature": {"choices": [0.0]}},
            }
        )
        (objective,) = task.objectives
        assert isinstance(objective, Judge)
        async with http_of(HOME, "the key")() as http:
            http._transport = httpx.MockTransport(answer)
            client = Client(http, task, "m", lambda: None, asyncio.Semaphore(1))
            case = Case(prompt or Prompt(prompt="?"), {}, [Answer("yes", "stop", 1, 1, 0.1)])
            (found,) = await JudgeScorer(objective).score(client, case)
            return found

    found = asyncio.run(score())
    return found, seen[0]


DECIDED = {"answers": [{"probability": 0.75}]}


@pytest.mark.parametrize(
    ("url", "address", "has_key"),
    [
        (None, "http://127.0.0.1:8000/v1/decisions", True),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1/decisions", True),
        ("http://127.0.0.1:9000/v1", "http://127.0.0.1:9000/v1/decisions", False),
        ("https://127.0.0.1:8000", "https://127.0.0.1:8000/v1/decisions", False),
        ("http://judge.example", "http://judge.example/v1/decisions", False),
    ],
)
def test_a_key_goes_to_its_own_server_alone(url: str | None, address: str, *, has_key: bool) -> None:
    found, request = judged(url, DECIDED)
    assert found == 0.75
    assert str(request.url) == address
    assert ("authorization" in request.headers) is has_key


def test_a_turn_without_a_text_is_shown_without_one() -> None:
    call = {"role": "assistant", "tool_calls": []}
    found, request = judged(None, DECIDED, Prompt(messages=[{"role": "user", "content": "?"}, call]))
    assert found == 0.75
    assert b'{"role":"assistant","content":""}' in request.content.replace(b": ", b":").replace(b", ", b",")


@pytest.mark.parametrize("document", [{}, {"answers": []}, {"answers": [{"probability": None}]}, []])
def test_an_answer_without_a_decision_ends_the_search(document: object) -> None:
    with pytest.raises(SearchError, match="the judge's answer has no decision"):
        judged(None, document)


def test_an_address_is_one() -> None:
    with pytest.raises(ValidationError, match="url"):
        Judge(scorer="judge", question="?", url="judge.example")
