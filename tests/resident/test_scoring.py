"""Scores of prompts from the live server against a direct computation from the same file."""

from collections.abc import Iterator
from typing import Any

import pytest
from openai import BadRequestError, OpenAI

from tests.faults.process import ServerProcess
from tests.resident.direct import Direct

MODEL = "caravan-resident"
CLOSE = 1e-4
# Kernels round by the number of rows in a batch, and a prompt in parts has other numbers of them.
CLOSE_IN_PARTS = 0.25
STORY = "Once upon a time there was a fox who lived in the forest. The fox was very"


@pytest.fixture(scope="module")
def direct() -> Iterator[Direct]:
    made = Direct()
    yield made
    made.close()


@pytest.fixture(scope="module")
def client(live_server: ServerProcess) -> Iterator[OpenAI]:
    with OpenAI(base_url=live_server.url, api_key="none", max_retries=0) as made:
        yield made


def complete(client: OpenAI, **fields: Any) -> Any:  # noqa: ANN401 (the client has overloads for each value)
    return client.completions.create(**{"model": MODEL, "prompt": STORY, "temperature": 0, **fields})


def check(direct: Direct, token_ids: list[int], found: Any, num_top: int, close: float = CLOSE) -> None:  # noqa: ANN401
    """All tokens of an echo against the direct computation."""
    rows = direct.logprobs(token_ids)
    assert found.token_logprobs[0] is None
    assert found.top_logprobs[0] is None
    expected = [rows[place - 1][token_ids[place]] for place in range(1, len(token_ids))]
    assert found.token_logprobs[1:] == pytest.approx(expected, abs=close)
    for place, top in enumerate(found.top_logprobs[1:]):
        best = sorted(rows[place], reverse=True)[:num_top]
        assert sorted(top.values(), reverse=True)[:num_top] == pytest.approx(best, abs=close)


def test_an_echo_scores_the_prompt_and_the_text(client: OpenAI, direct: Direct) -> None:
    answer = complete(client, echo=True, logprobs=3, max_tokens=6)
    choice = answer.choices[0]
    token_ids = direct.tokenize(STORY)
    drawn = [direct.ids[token.encode()] for token in choice.logprobs.tokens[len(token_ids) :]]
    assert len(drawn) == 6
    assert choice.text.startswith(STORY)
    assert "".join(choice.logprobs.tokens) == choice.text
    check(direct, token_ids + drawn, choice.logprobs, 3)
    ends = [*choice.logprobs.text_offset[1:], len(choice.text)]
    for token, start, end in zip(choice.logprobs.tokens, choice.logprobs.text_offset, ends, strict=True):
        assert choice.text[start:end] == token
    assert answer.usage.prompt_tokens == len(token_ids)
    assert answer.usage.completion_tokens == 6


@pytest.mark.parametrize("as_ids", [True, False])
def test_scoring_alone(client: OpenAI, direct: Direct, as_ids: bool) -> None:
    token_ids = direct.tokenize(STORY)
    prompt = token_ids if as_ids else STORY
    answer = complete(client, prompt=prompt, echo=True, logprobs=1, max_tokens=0)
    choice = answer.choices[0]
    assert (choice.text, choice.finish_reason) == (STORY, "length")
    check(direct, token_ids, choice.logprobs, 1)
    assert answer.usage.completion_tokens == 0


def test_options_of_a_question_do_not_compute_it_again(client: OpenAI, direct: Direct) -> None:
    question = direct.tokenize("A question of its own: " + "why did the old bear sing so loud? " * 30)
    options = [direct.tokenize(text) for text in (" It was happy.", " It was sad.", " Nobody knows that.")]
    for count, option in enumerate(options):
        answer = complete(client, prompt=question + option, echo=True, logprobs=1, max_tokens=0)
        check(direct, question + option, answer.choices[0].logprobs, 1, CLOSE_IN_PARTS)
        if count:
            assert answer.usage.prompt_tokens_details.cached_tokens >= len(question) - 1


def test_several_prompts_and_choices_streamed_fold_into_the_whole(client: OpenAI) -> None:
    prompts = ["One day", "The cat", STORY]
    fields: dict[str, Any] = {
        "prompt": prompts,
        "n": 2,
        "echo": True,
        "logprobs": 2,
        "max_tokens": 5,
        "seed": 4,
        "temperature": 1,
    }
    whole = complete(client, **fields)
    assert [choice.index for choice in whole.choices] == list(range(6))
    texts = [""] * 6
    tokens: list[list[str]] = [[] for _ in texts]
    offsets: list[list[int]] = [[] for _ in texts]
    values: list[list[float | None]] = [[] for _ in texts]
    usage = None
    for chunk in complete(client, stream=True, stream_options={"include_usage": True}, **fields):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            texts[choice.index] += choice.text
            if choice.logprobs:
                tokens[choice.index] += choice.logprobs.tokens
                offsets[choice.index] += choice.logprobs.text_offset
                values[choice.index] += choice.logprobs.token_logprobs
    for choice in whole.choices:
        index = choice.index
        assert choice.text.startswith(prompts[index // 2])
        assert texts[index] == choice.text
        assert tokens[index] == choice.logprobs.tokens
        assert offsets[index] == choice.logprobs.text_offset
        assert values[index][0] is None
        assert values[index][1:] == pytest.approx(choice.logprobs.token_logprobs[1:], abs=CLOSE_IN_PARTS)
    assert usage is not None
    assert usage.completion_tokens == whole.usage.completion_tokens
    assert usage.prompt_tokens == whole.usage.prompt_tokens


def test_prompt_logprobs_in_the_shape_of_vllm(client: OpenAI, direct: Direct) -> None:
    token_ids = direct.tokenize(STORY)
    rows = direct.logprobs(token_ids)
    answer = complete(client, max_tokens=0, extra_body={"prompt_logprobs": 2}).model_dump()["choices"][0]
    assert answer["text"] == ""
    assert answer["logprobs"] is None
    first, *others = answer["prompt_logprobs"]
    assert first is None
    for row, token_id, found in zip(rows[:-1], token_ids[1:], others, strict=True):
        entry = found[str(token_id)]
        assert entry["logprob"] == pytest.approx(row[token_id], abs=CLOSE)
        assert entry["decoded_token"].encode() == direct.token_bytes(token_id)
        ranked = sorted(row, reverse=True)
        assert ranked[entry["rank"] - 1] == pytest.approx(row[token_id], abs=CLOSE)
        assert {1, 2} <= {item["rank"] for item in found.values()}


def test_prompt_logprobs_of_a_chat(client: OpenAI) -> None:
    fields: Any = {"model": MODEL, "max_tokens": 1, "extra_body": {"prompt_logprobs": 0}}
    message: Any = {"role": "user", "content": "Hello"}
    answer = client.chat.completions.create(messages=[message], **fields).model_dump()
    found = answer["prompt_logprobs"]
    assert len(found) == answer["usage"]["prompt_tokens"]
    assert found[0] is None
    assert all(len(item) == 1 for item in found[1:])


def test_a_gap_is_filled(client: OpenAI) -> None:
    fields: dict[str, Any] = {"prompt": "def add(a, b):\n    return", "max_tokens": 20}
    answer = complete(client, suffix="\n", **fields)
    assert answer.choices[0].text == " a + b"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.prompt_tokens > complete(client, **fields).usage.prompt_tokens


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"echo": True, "suffix": "x"}, "echo"),
        ({"stream": True, "extra_body": {"prompt_logprobs": 1}}, "prompt_logprobs"),
        ({"extra_body": {"prompt_logprobs": 21}}, "prompt_logprobs"),
        ({"extra_body": {"prompt_logprobs": -1}}, "prompt_logprobs"),
    ],
)
def test_refusals_name_the_field(client: OpenAI, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        complete(client, **fields)
    assert caught.value.param == param
