"""Decisions of the live server against the scores that it tells of each label alone."""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from caravan.api.decisions.questions import asked
from caravan.api.decisions.rank import JUDGE
from caravan_schemas.decisions import DecisionRequest
from openai import BadRequestError, OpenAI

from tests.faults.process import ServerProcess
from tests.resident.direct import Direct

MODEL = "caravan-resident"
CLOSE = 1e-4
INPUT = "Once upon a time there was a fox who lived in the forest. The fox was very happy."
STATEMENT: dict[str, Any] = {"type": "predicate", "instructions": "The fox is happy."}
# Beginnings of each other, labels of several tokens, and one that begins with a blank.
CHOICE: dict[str, Any] = {
    "type": "choice",
    "instructions": "Who is it about?",
    "choices": [{"value": v} for v in ("fox", "foxes", "a fox in the forest", " fox", "true", True, "The")],
}
SCORE: dict[str, Any] = {
    "type": "score",
    "instructions": "How happy is it?",
    "levels": [{"label": label} for label in ("not at all", "not", "a little", "very")],
}


@pytest.fixture(scope="module")
def client(live_server: ServerProcess) -> Iterator[OpenAI]:
    with OpenAI(base_url=live_server.url, api_key="none", max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def end_ids() -> Sequence[int]:
    direct = Direct()
    found = sorted(direct.end_ids)
    direct.close()
    return found


def decide(client: OpenAI, *questions: dict[str, Any], given: Any = INPUT, **extra: Any) -> Any:  # noqa: ANN401
    return client.decisions.create(model=MODEL, input=given, questions=questions, extra_body=extra)  # type: ignore[arg-type]


def alone(
    client: OpenAI, server: ServerProcess, question: dict[str, Any], end_ids: Sequence[int]
) -> list[float]:
    """The log probability of each label with its end, each scored by a request of its own."""
    read = DecisionRequest.model_validate({"input": "x", "questions": [question]}).questions[0]
    text = asked(read, "question").text
    messages = [{"role": "user", "content": f"{INPUT}\n\n{text}"}]
    root = server.url.removesuffix("/v1")
    prompt = httpx.post(f"{root}/apply-template", json={"messages": messages}).json()["prompt"]
    start = len(tokens(root, prompt))
    found = []
    for label in asked(read, "question").labels:
        token_ids = tokens(root, prompt + label)
        ends = [scored(client, [*token_ids, end])[start:] for end in end_ids]
        found.append(sum(ends[0][:-1]) + math.log(sum(math.exp(steps[-1]) for steps in ends)))
    return found


def tokens(root: str, text: str) -> list[int]:
    body = {"prompt": text, "add_special_tokens": True}
    token_ids: list[int] = httpx.post(f"{root}/tokenize", json=body).json()["tokens"]
    return token_ids


def scored(client: OpenAI, token_ids: list[int]) -> list[float]:
    """Log probabilities of a prompt's tokens; the first has none."""
    body = {"prompt_logprobs": 0}
    answer: Any = client.completions.create(model=MODEL, prompt=token_ids, max_tokens=0, extra_body=body)
    told = answer.choices[0].prompt_logprobs
    return [
        math.nan if each is None else each[str(token_id)]["logprob"]
        for each, token_id in zip(told, token_ids, strict=True)
    ]


def probabilities(answer: Any) -> list[float]:  # noqa: ANN401
    if answer.type == "predicate":
        return [answer.probability, 1 - answer.probability]
    return [each.probability for each in answer.probabilities]


@pytest.mark.parametrize("question", [STATEMENT, CHOICE, SCORE], ids=lambda question: question["type"])
def test_labels_are_scored_as_each_alone(
    client: OpenAI, live_server: ServerProcess, end_ids: Sequence[int], question: dict[str, Any]
) -> None:
    (answer,) = decide(client, question).answers
    logprobs = alone(client, live_server, question, end_ids)
    mass = sum(map(math.exp, logprobs))
    assert answer.label_mass == pytest.approx(mass, rel=CLOSE)
    assert probabilities(answer) == pytest.approx([math.exp(each) / mass for each in logprobs], abs=CLOSE)
    found = [math.log(each * answer.label_mass) for each in probabilities(answer) if each > 1e-9]
    wanted = [each for each, share in zip(logprobs, probabilities(answer), strict=True) if share > 1e-9]
    assert found == pytest.approx(wanted, abs=CLOSE)


def test_ranks_are_the_share_of_yes(client: OpenAI, live_server: ServerProcess) -> None:
    root = live_server.url.removesuffix("/v1")
    documents = ["A fox eats mice and berries.", "The wind in the trees.", "Foxes!"]
    body = {"query": "What do foxes eat?", "documents": documents, "instruction": "Answer."}
    results = httpx.post(f"{root}/v1/rerank", json=body).json()["results"]
    found = {each["index"]: each["relevance_score"] for each in results}
    for index, document in enumerate(documents):
        text = f"<Instruct>: Answer.\n<Query>: What do foxes eat?\n<Document>: {document}"
        messages = [{"role": "system", "content": JUDGE}, {"role": "user", "content": text}]
        prompt = httpx.post(f"{root}/apply-template", json={"messages": messages}).json()["prompt"]
        start = len(tokens(root, prompt))
        yes, no = (
            math.exp(sum(scored(client, tokens(root, prompt + word))[start:])) for word in ("yes", "no")
        )
        assert found[index] == pytest.approx(yes / (yes + no), abs=CLOSE)


def test_nothing_else_that_runs_changes_an_answer(client: OpenAI) -> None:
    questions = [STATEMENT, CHOICE, SCORE]
    together = [probabilities(answer) for answer in decide(client, *questions).answers]
    with ThreadPoolExecutor(6) as pool:
        busy = [
            pool.submit(client.completions.create, model=MODEL, prompt=f"{n} foxes", max_tokens=60)
            for n in range(3)
        ]
        again = [pool.submit(decide, client, question) for question in questions]
        apart = [probabilities(each.result().answers[0]) for each in again]
        for each in busy:
            each.result()
    for one, other in zip(together, apart, strict=True):
        assert one == pytest.approx(other, abs=CLOSE)


def test_a_second_time_nothing_but_ends_is_computed(client: OpenAI) -> None:
    given = "A text of its own. " * 40
    first = decide(client, STATEMENT, SCORE, given=given).usage
    second = decide(client, STATEMENT, SCORE, given=given).usage
    assert first.input_tokens == second.input_tokens
    assert first.input_tokens_details.cached_tokens < 40
    # The last token of a prompt is always computed, since it gives the logits.
    assert second.input_tokens_details.cache_write_tokens == 2


@pytest.mark.parametrize("normalization", ["none", "length", "prior"])
def test_every_normalization_shares_out_one(client: OpenAI, normalization: str) -> None:
    for answer in decide(client, STATEMENT, CHOICE, SCORE, normalization=normalization).answers:
        assert sum(probabilities(answer)) == pytest.approx(1)


def test_refusals_are_openais_errors(client: OpenAI) -> None:
    with pytest.raises(BadRequestError) as caught:
        decide(client, STATEMENT, given="fox " * 5000)
    assert caught.value.code == "context_length_exceeded"
