"""Log probabilities of the live server against a direct computation from the same file."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai import BadRequestError, OpenAI

from tests.faults.process import ServerProcess
from tests.resident.direct import Direct

MODEL = "caravan-resident"
CLOSE = 1e-4
# Two runs of one request differ in what of the prompt is in memory, hence in how kernels round.
CLOSE_WHEN_WARM = 0.1
QUESTION = "Tell me a story about a fox."
CHAT_PROMPT = f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"


@pytest.fixture(scope="module")
def direct() -> Iterator[Direct]:
    made = Direct()
    yield made
    made.close()


@pytest.fixture(scope="module")
def client() -> Iterator[OpenAI]:
    # A server of its own: a prompt whose beginning is in memory is computed in other rows, and kernels round
    # by their number.
    server = ServerProcess("--threads", "1")
    with OpenAI(base_url=server.url, api_key="none", max_retries=0) as made:
        yield made
    assert server.stop() == 0, server.output


def chat(client: OpenAI, **fields: Any) -> Any:  # noqa: ANN401 (the client has overloads for each value)
    messages = [{"role": "user", "content": QUESTION}]
    body = {"model": MODEL, "messages": messages, "logprobs": True, "max_tokens": 30, **fields}
    return client.chat.completions.create(**body)


def check_chat(direct: Direct, prompt: str, content: list[Any], num_top: int) -> None:
    """Every entry against the direct computation of the whole text."""
    prompt_ids = direct.tokenize(prompt)
    token_ids = prompt_ids + [direct.ids[bytes(item.bytes)] for item in content]
    rows = direct.logprobs(token_ids)
    for place, item in enumerate(content, len(prompt_ids)):
        row = rows[place - 1]
        assert item.logprob == pytest.approx(row[token_ids[place]], abs=CLOSE)
        best = row.argsort()[::-1][:num_top]
        assert [top.logprob for top in item.top_logprobs] == pytest.approx(list(row[best]), abs=CLOSE)
        named = {bytes(top.bytes or []) for top in item.top_logprobs}
        # What stands clear of the next in line must be there; of near ties either may.
        clear = [i for i in best if row[i] > row.min() and row[i] - row[best[-1]] > 1e-3]
        assert {direct.token_bytes(int(i)) for i in clear} <= named


def test_chat_is_right_for_every_choice(client: OpenAI, direct: Direct) -> None:
    answer = chat(client, top_logprobs=20, n=3, temperature=1, seed=3)
    texts = {choice.message.content for choice in answer.choices}
    assert len(texts) > 1
    for choice in answer.choices:
        assert "".join(item.token for item in choice.logprobs.content) == choice.message.content
        check_chat(direct, CHAT_PROMPT, choice.logprobs.content, 20)


def test_a_stream_folds_into_the_whole(client: OpenAI) -> None:
    fields: dict[str, Any] = {"top_logprobs": 3, "n": 2, "temperature": 1.2, "seed": 5, "stop": ["s.", "ri"]}
    # Both find the prompt in memory: numbers are rounded by a batch's shape.
    chat(client, **fields)
    whole = chat(client, **fields)
    texts, folded = ["", ""], [[], []]  # type: ignore[var-annotated]
    for chunk in chat(client, stream=True, **fields):
        for choice in chunk.choices:
            text = choice.delta.content or ""
            texts[choice.index] += text
            entries = choice.logprobs.content if choice.logprobs else []
            assert bool(entries) == bool(text)
            folded[choice.index] += entries
    for choice in whole.choices:
        assert texts[choice.index] == choice.message.content
        expected, found = choice.logprobs.content, folded[choice.index]
        assert [item.token for item in found] == [item.token for item in expected]
        assert [item.logprob for item in found] == pytest.approx(
            [item.logprob for item in expected], abs=CLOSE_WHEN_WARM
        )


@pytest.mark.parametrize(("max_tokens", "text"), [(6, "☃☃"), (4, "☃")])
def test_parts_of_characters_are_shown_by_their_bytes(client: OpenAI, max_tokens: int, text: str) -> None:
    options: dict[str, Any] = {
        "model": MODEL,
        "prompt": "Once upon a time",
        "max_tokens": max_tokens,
        "logprobs": 1,
        "extra_body": {"structured_outputs": {"choice": ["☃☃"]}},
    }
    answer = client.completions.create(**options).choices[0]
    assert answer.text == text
    found = answer.logprobs
    assert found is not None
    assert found.tokens is not None
    assert found.tokens == ["bytes:\\xe2", "bytes:\\x98", "bytes:\\x83"] * (max_tokens // 3) + [
        "bytes:\\xe2"
    ] * (max_tokens % 3)
    assert found.text_offset == [0, 0, 0, 1, 1, 1][:max_tokens]
    parts = [chunk.choices[0] for chunk in client.completions.create(**options, stream=True)]
    folded = [token for part in parts if part.logprobs for token in part.logprobs.tokens or []]
    assert folded == found.tokens
    assert "".join(part.text for part in parts) == text


def test_best_of_keeps_the_log_probabilities_of_what_it_keeps(client: OpenAI) -> None:
    answer = client.completions.create(
        model=MODEL, prompt="Once upon a time", max_tokens=8, n=2, best_of=5, logprobs=0, seed=1
    )
    means = []
    for choice in answer.choices:
        assert choice.logprobs is not None
        assert "".join(choice.logprobs.tokens or []) == choice.text
        values = [value for value in choice.logprobs.token_logprobs or [] if value is not None]
        means.append(sum(values) / len(values))
    assert means == sorted(means, reverse=True)


def test_a_constraint_does_not_hide_what_the_model_would_have_said(client: OpenAI, direct: Direct) -> None:
    answer = chat(client, top_logprobs=1, extra_body={"structured_outputs": {"choice": ["Qx", "Qy"]}})
    content = answer.choices[0].logprobs.content
    assert json.dumps(answer.choices[0].message.content).strip('"') in {"Qx", "Qy"}
    row = direct.logprobs(direct.tokenize(CHAT_PROMPT))[-1]
    assert content[0].top_logprobs[0].logprob == pytest.approx(row.max(), abs=CLOSE)
    assert content[0].logprob < -1


def test_the_likeliest_need_log_probabilities(client: OpenAI) -> None:
    with pytest.raises(BadRequestError) as caught:
        chat(client, logprobs=False, top_logprobs=2)
    assert caught.value.param == "top_logprobs"
    assert chat(client, logprobs=None).choices[0].logprobs is None
