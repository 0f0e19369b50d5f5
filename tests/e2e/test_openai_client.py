"""The official client against the whole server."""

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.e2e.conftest import Served
from tests.waiting import wait_until

MESSAGES: list[ChatCompletionMessageParam] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "the wind in the trees"},
]


def test_models(served: Served) -> None:
    assert [model.id for model in served.client.models.list()] == ["tiny"]
    assert served.client.models.retrieve("tiny").object == "model"
    with pytest.raises(openai.NotFoundError) as caught:
        served.client.models.retrieve("none")
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize("temperature", [0, 1.5])
@pytest.mark.parametrize("n", [1, 3])
def test_a_chat_streams_what_it_answers(served: Served, temperature: float, n: int) -> None:
    create = served.client.chat.completions.create
    whole = create(model="tiny", messages=MESSAGES, max_tokens=40, temperature=temperature, seed=7, n=n)
    texts = [""] * n
    reasons: list[str | None] = [None] * n
    usage = None
    for chunk in create(
        model="tiny",
        messages=MESSAGES,
        max_tokens=40,
        temperature=temperature,
        seed=7,
        n=n,
        stream=True,
        stream_options={"include_usage": True},
    ):
        usage = chunk.usage
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            reasons[choice.index] = choice.finish_reason
    assert texts == [choice.message.content for choice in whole.choices]
    assert reasons == [choice.finish_reason for choice in whole.choices]
    assert any(texts)
    assert usage is not None
    assert whole.usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (
        whole.usage.prompt_tokens,
        whole.usage.completion_tokens,
        whole.usage.total_tokens,
    )


@pytest.mark.parametrize("temperature", [0, 1.5])
def test_completions_stream_what_they_answer(served: Served, temperature: float) -> None:
    """One of several seeds is enough for each choice: which prompts share a batch is chance, and the rounding
    of sums depends on it. One text of thirty differs from its twin, streamed or whole.
    """
    create = served.client.completions.create
    prompts = ["the wind", "in the trees and", "you"]
    agreed: set[int] = set()
    for seed in range(3, 9):
        whole = create(model="tiny", prompt=prompts, max_tokens=30, temperature=temperature, seed=seed, n=2)
        texts = [""] * 6
        for chunk in create(
            model="tiny", prompt=prompts, max_tokens=30, temperature=temperature, seed=seed, n=2, stream=True
        ):
            for choice in chunk.choices:
                texts[choice.index] += choice.text
        agreed |= {choice.index for choice in whole.choices if choice.text == texts[choice.index]}
        assert len(set(texts)) > 1
        if len(agreed) == len(texts):
            break
    assert agreed == set(range(6))


def test_a_stop_string_ends_the_text_before_it(served: Served) -> None:
    create = served.client.completions.create
    text = create(model="tiny", prompt="the", max_tokens=40, temperature=0).choices[0].text
    stop = text[len(text) // 2 :][:3]
    choice = create(model="tiny", prompt="the", max_tokens=40, temperature=0, stop=stop).choices[0]
    assert choice.text == text[: text.index(stop)]
    assert choice.finish_reason == "stop"


def test_usage_is_exact_and_tells_of_the_cache(served: Served) -> None:
    create = served.client.completions.create
    prompt = list(range(60, 160))
    for num_cached in (0, 99):
        answer = create(model="tiny", prompt=prompt, max_tokens=5, temperature=0, stop=["\x00never"])
        assert answer.usage is not None
        assert answer.usage.prompt_tokens == 100
        assert answer.usage.completion_tokens <= 5
        assert answer.usage.prompt_tokens_details is not None
        assert answer.usage.prompt_tokens_details.cached_tokens == num_cached


def test_a_prompt_beyond_the_context_is_refused_with_both_numbers(served: Served) -> None:
    with pytest.raises(openai.BadRequestError, match=r"512.*600") as caught:
        served.client.completions.create(model="tiny", prompt=[60] * 600)
    assert caught.value.code == "context_length_exceeded"


def test_a_full_context_ends_with_length(served: Served) -> None:
    answer = served.client.completions.create(model="tiny", prompt=[60] * 500, max_tokens=100, seed=1)
    assert answer.usage is not None
    if answer.choices[0].finish_reason == "length":
        assert answer.usage.total_tokens == 512
    else:
        assert answer.usage.total_tokens < 512


@pytest.mark.parametrize("n", [1, 4])
def test_a_client_that_leaves_frees_its_sequences(served: Served, n: int) -> None:
    stream = served.client.chat.completions.create(
        model="tiny", messages=MESSAGES, stream=True, n=n, seed=1, max_tokens=400
    )
    next(iter(stream))
    stream.close()
    wait_until(lambda: served.engine.stats().num_running == 0 and served.engine.stats().num_waiting == 0)
    assert served.client.completions.create(model="tiny", prompt="the").choices
