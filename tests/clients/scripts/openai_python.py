"""OpenAI's own client for Python."""

import asyncio
import json
from typing import Any

import openai
from pydantic import BaseModel, Field

from tests.clients.conversation import (
    ANSWER,
    BASE_URL,
    MODEL,
    PERSON,
    QUESTION,
    REPORT,
    WEATHER,
    WEATHER_TOOL,
    SkippedError,
    needs,
    run,
)

client: Any = openai.OpenAI(base_url=BASE_URL, api_key="none", max_retries=0)
ASKED: Any = [{"role": "user", "content": QUESTION}]


class Person(BaseModel):
    name: str = Field(max_length=20)
    age: int = Field(ge=0, le=150)


def check_chat() -> None:
    answer = client.chat.completions.create(model=MODEL, messages=ASKED, temperature=0)
    assert ANSWER in answer.choices[0].message.content
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def check_stream() -> None:
    chunks = list(
        client.chat.completions.create(
            model=MODEL, messages=ASKED, temperature=0, stream=True, stream_options={"include_usage": True}
        )
    )
    assert ANSWER in "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert chunks[-1].usage.completion_tokens > 0


def check_decisions() -> None:
    needs("decisions")
    if not hasattr(client, "decisions"):
        raise SkippedError("this version has no decisions")
    labels: Any = [{"value": "Paris", "description": "in France"}, {"value": True}]
    questions: Any = [
        {"type": "predicate", "name": "p", "instructions": "It is about France."},
        {"type": "choice", "instructions": "What fits?", "choices": labels},
        {"type": "score", "instructions": "How good?", "levels": [{"label": "bad"}, {"label": "good"}]},
    ]
    decision = client.decisions.create(model=MODEL, input=QUESTION, questions=questions)
    assert [answer.type for answer in decision.answers] == ["predicate", "choice", "score"]
    assert 0 <= decision.answers[0].probability <= 1
    assert abs(sum(each.probability for each in decision.answers[1].probabilities) - 1) < 1e-9
    assert 0 <= decision.answers[2].score <= 1
    assert decision.usage.input_tokens > 0


def check_async() -> None:
    async def ask() -> tuple[str | None, str]:
        async with openai.AsyncOpenAI(base_url=BASE_URL, api_key="none", max_retries=0) as other:
            whole = other.chat.completions.create(model=MODEL, messages=ASKED, temperature=0)
            stream = await other.chat.completions.create(
                model=MODEL, messages=ASKED, temperature=0, stream=True
            )
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
            return (await whole).choices[0].message.content, text

    whole, streamed = asyncio.run(ask())
    assert whole == streamed
    assert ANSWER in streamed


def check_parse() -> None:
    answer = client.chat.completions.parse(
        model=MODEL,
        messages=[{"role": "user", "content": PERSON}],
        response_format=Person,
        temperature=0,
    )
    assert isinstance(answer.choices[0].message.parsed, Person)


def check_stream_helper() -> None:
    with client.chat.completions.stream(
        model=MODEL,
        messages=[{"role": "user", "content": PERSON}],
        response_format=Person,
        temperature=0,
    ) as stream:
        kinds = {event.type for event in stream}
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, Person)
    assert {"chunk", "content.delta", "content.done"} <= kinds


def check_tools() -> None:
    messages = [{"role": "user", "content": WEATHER}]
    options = {"model": MODEL, "tools": [WEATHER_TOOL], "temperature": 0}
    message = client.chat.completions.create(messages=messages, **options).choices[0].message
    call = message.tool_calls[0]
    assert json.loads(call.function.arguments) == {"city": "Paris"}
    messages += [message, {"role": "tool", "tool_call_id": call.id, "content": REPORT}]
    assert "21" in client.chat.completions.create(messages=messages, **options).choices[0].message.content


def check_streamed_tools() -> None:
    with client.chat.completions.stream(
        model=MODEL, messages=[{"role": "user", "content": WEATHER}], tools=[WEATHER_TOOL], temperature=0
    ) as stream:
        kinds = {event.type for event in stream}
        call = stream.get_final_completion().choices[0].message.tool_calls[0]
    assert json.loads(call.function.arguments) == {"city": "Paris"}
    assert "tool_calls.function.arguments.done" in kinds


def check_completions() -> None:
    answer = client.completions.create(model=MODEL, prompt="Once upon a time", max_tokens=20, logprobs=2)
    assert answer.choices[0].text
    assert len(answer.choices[0].logprobs.tokens) == answer.usage.completion_tokens


def check_fields_without_effect() -> None:
    answer = client.chat.completions.create(
        model=MODEL,
        messages=ASKED,
        temperature=0,
        service_tier="auto",
        user="somebody",
        prompt_cache_key="key",
        safety_identifier="id",
        modalities=["text"],
    )
    assert ANSWER in answer.choices[0].message.content
    assert answer.service_tier == "default"


def check_predictions() -> None:
    plain = client.chat.completions.create(model=MODEL, messages=ASKED, temperature=0)
    predicted = client.chat.completions.create(
        model=MODEL,
        messages=ASKED,
        temperature=0,
        prediction={"type": "content", "content": "The capital of France is Paris."},
    )
    assert plain.choices[0].message.content == predicted.choices[0].message.content
    details = predicted.usage.completion_tokens_details
    assert isinstance(details.accepted_prediction_tokens, int)
    assert isinstance(details.rejected_prediction_tokens, int)


def check_stored_chats() -> None:
    options = {
        "model": MODEL,
        "messages": ASKED,
        "temperature": 0,
        "store": True,
        "metadata": {"of": "a test"},
    }
    made = client.chat.completions.create(**options)
    streamed = "".join(
        chunk.choices[0].delta.content or ""
        for chunk in client.chat.completions.create(**options, stream=True)
    )
    kept = list(client.chat.completions.list(metadata={"of": "a test"}, limit=1))
    assert [chat.choices[0].message.content for chat in kept] == [made.choices[0].message.content, streamed]
    assert [message.content for message in client.chat.completions.messages.list(made.id)] == [QUESTION]
    for chat in kept:
        client.chat.completions.update(chat.id, metadata={"of": "the past"})
        assert client.chat.completions.retrieve(chat.id).metadata == {"of": "the past"}
        assert client.chat.completions.delete(chat.id).deleted


def check_conversations() -> None:
    needs("conversations")
    conversation = client.conversations.create(metadata={"of": "a test"})
    made = client.responses.create(model=MODEL, input=QUESTION, conversation=conversation.id, temperature=0)
    assert made.conversation.id == conversation.id
    items = list(client.conversations.items.list(conversation.id, limit=1, order="asc"))
    assert [item.content[0].text for item in items] == [QUESTION, made.output_text]
    client.conversations.items.delete(items[0].id, conversation_id=conversation.id)
    assert client.conversations.delete(conversation.id).deleted


def check_models_and_errors() -> None:
    assert MODEL in [model.id for model in client.models.list()]
    missing = _refusal(model="no-such-model", messages=ASKED)
    assert isinstance(missing, openai.NotFoundError)
    assert missing.code == "model_not_found"
    assert _refusal(model=MODEL, messages=ASKED, temperature=900).param == "temperature"


def check_responses() -> None:
    needs("responses")
    answer = client.responses.create(model=MODEL, input=QUESTION, temperature=0)
    assert ANSWER in answer.output_text
    again = client.responses.create(
        model=MODEL, input="And of Spain?", previous_response_id=answer.id, temperature=0
    )
    assert again.output_text


def check_streamed_responses() -> None:
    needs("responses")
    with client.responses.stream(model=MODEL, input=QUESTION, temperature=0) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        assert stream.get_final_response().output_text == text
    assert ANSWER in text


def check_summed_up_responses() -> None:
    needs("responses/compact")
    if not hasattr(client.responses, "compact"):
        raise SkippedError("this release cannot ask for it")
    said: Any = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}]
    compacted = client.responses.compact(model=MODEL, input=said)
    kinds = [item.type for item in compacted.output]
    assert (compacted.object, kinds) == ("response.compaction", ["message", "compaction"])
    going_on: Any = [item.to_dict(warnings=False) for item in compacted.output]
    going_on.append({"role": "user", "content": "And of Spain?"})
    counted = client.responses.input_tokens.count(model=MODEL, input=going_on)
    answer = client.responses.create(model=MODEL, input=going_on, max_output_tokens=16)
    assert answer.usage is not None
    assert answer.usage.input_tokens == counted.input_tokens


def check_embeddings() -> None:
    needs("embeddings")
    answer = client.embeddings.create(model=MODEL, input=["the wind", "the trees"])
    assert [item.index for item in answer.data] == [0, 1]
    assert len({len(item.embedding) for item in answer.data}) == 1


def _refusal(**options: object) -> openai.APIStatusError:
    try:
        client.chat.completions.create(**options)
    except openai.APIStatusError as error:
        return error
    raise AssertionError("the request has been taken")


if __name__ == "__main__":
    run(globals())
