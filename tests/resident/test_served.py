"""The official client against `caravan serve` and the model that ships: plain, streamed, many at once."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from caravan.models.resident import model_path
from openai import AsyncOpenAI, OpenAI

from tests.faults.process import ServerProcess

MODEL = "caravan-resident"
QUESTIONS = json.loads((model_path().parent / "questions.json").read_text())


@pytest.fixture(scope="module")
def client(live_server: ServerProcess) -> Iterator[OpenAI]:
    with OpenAI(base_url=live_server.url, api_key="none", max_retries=0) as made:
        yield made


def ask(question: str, **options: object) -> dict[str, Any]:
    """A greedy chat request."""
    messages = [{"role": "user", "content": question}]
    return {"model": MODEL, "messages": messages, "temperature": 0, "max_tokens": 100, **options}


def test_the_model_is_listed_and_can_be_retrieved(client: OpenAI) -> None:
    assert MODEL in [model.id for model in client.models.list()]
    assert client.models.retrieve(MODEL).id == MODEL
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("no-such-model")
    assert caught.value.code == "model_not_found"


def test_there_are_at_least_sixty_questions() -> None:
    assert len({item["question"] for item in QUESTIONS}) >= 60


@pytest.mark.parametrize("item", QUESTIONS, ids=lambda item: item["question"])
def test_a_documented_question_is_answered(client: OpenAI, item: dict[str, str]) -> None:
    completion = client.chat.completions.create(**ask(item["question"]))
    assert item["answer"] in (completion.choices[0].message.content or "")
    assert completion.choices[0].finish_reason == "stop"


def test_a_stream_adds_up_to_the_plain_answer(client: OpenAI) -> None:
    request = ask("Tell me a short story.")
    # Both find the prompt in memory: numbers are rounded by a batch's shape, and greedy choices are close.
    client.chat.completions.create(**request)
    plain = client.chat.completions.create(**request)
    request |= {"stream": True, "stream_options": {"include_usage": True}}
    stream = list(client.chat.completions.create(**request))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert text == plain.choices[0].message.content
    assert stream[0].choices[0].delta.role == "assistant"
    assert {chunk.id for chunk in stream} == {stream[0].id}
    assert stream[-1].choices == []
    assert stream[-1].usage is not None
    assert plain.usage is not None
    assert stream[-1].usage.completion_tokens == plain.usage.completion_tokens
    assert stream[-1].usage.prompt_tokens == plain.usage.prompt_tokens


def test_text_completion_continues_a_text(client: OpenAI) -> None:
    completion = client.completions.create(
        model=MODEL, prompt=["Once upon a time", "The capital of France"], max_tokens=8, temperature=0, n=2
    )
    assert [choice.index for choice in completion.choices] == [0, 1, 2, 3]
    assert completion.choices[0].text == completion.choices[1].text != completion.choices[2].text
    assert completion.usage is not None
    assert completion.usage.completion_tokens <= 4 * 8


def test_seeds_repeat_and_differ(client: OpenAI) -> None:
    def story(seed: int) -> str:
        request = ask("Tell me a story.", temperature=1.0, seed=seed)
        text: str = client.chat.completions.create(**request).choices[0].message.content
        return text

    # The first computes the prompt in another shape of batch than those that find it in memory.
    story(0)
    assert story(0) == story(0)
    assert len({story(seed) for seed in range(4)}) > 1


def test_a_stop_string_ends_the_answer_and_is_not_in_it(client: OpenAI) -> None:
    client.chat.completions.create(**ask("Tell me a short story."))
    whole = client.chat.completions.create(**ask("Tell me a short story.")).choices[0].message.content
    assert whole is not None
    stop = whole[20:25]
    completion = client.chat.completions.create(**ask("Tell me a short story.", stop=[stop]))
    assert completion.choices[0].message.content == whole[: whole.index(stop)]
    assert completion.choices[0].finish_reason == "stop"


def test_a_repeated_prompt_comes_from_the_cache(client: OpenAI) -> None:
    request = ask("What is the capital of France, and why do you think so?")
    client.chat.completions.create(**request)
    usage = client.chat.completions.create(**request).usage
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    assert usage.prompt_tokens_details.cached_tokens == usage.prompt_tokens - 1


def test_errors_are_the_clients_own_exceptions(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**ask("Hi", temperature=900))
    assert caught.value.param == "temperature"
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**ask("Hi " * 5000))
    assert caught.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**ask("Hi"), extra_body={"temprature": 1})
    assert caught.value.code == "unknown_parameter"
    assert "temperature" in caught.value.message


def test_thirty_two_streams_at_once_are_all_correct(live_server: ServerProcess) -> None:
    async def answer(client: AsyncOpenAI, question: str) -> str:
        stream = await client.chat.completions.create(**ask(question), stream=True)
        parts = [chunk.choices[0].delta.content or "" async for chunk in stream]
        return "".join(parts)

    async def main() -> list[str]:
        async with AsyncOpenAI(base_url=live_server.url, api_key="none", max_retries=0) as client:
            return await asyncio.gather(*(answer(client, item["question"]) for item in QUESTIONS[:32]))

    answers = asyncio.run(main())
    assert all(item["answer"] in text for item, text in zip(QUESTIONS, answers, strict=False))
