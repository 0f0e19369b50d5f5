"""Anthropic's own client for Python."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import anthropic
from anthropic import Anthropic, AsyncAnthropic, beta_tool
from anthropic.types import message_create_params
from anthropic.types.beta import message_create_params as beta_create_params
from pydantic import BaseModel, Field

from tests.clients import anthropic_contract as contract
from tests.clients.conversation import (
    ANSWER,
    BASE_URL,
    MODEL,
    PERSON,
    QUESTION,
    REPORT,
    WEATHER,
    WEATHER_TOOL,
    needs,
    run,
)

ADDRESS = BASE_URL.removesuffix("/v1")
client: Any = Anthropic(base_url=ADDRESS, api_key="none", max_retries=0)
ASKED: Any = [{"role": "user", "content": QUESTION}]
# Its newest releases have no temperature, since Anthropic's newest models have none.
GREEDY: dict[str, Any] = {"model": MODEL, "max_tokens": 200, "extra_body": {"temperature": 0}}
TOOL: dict[str, Any] = {
    "name": "get_weather",
    "description": "Get the weather of a city.",
    "input_schema": WEATHER_TOOL["function"]["parameters"],
}
# The package sends these fields as headers.
HEADERS = {"user_profile_id", "workspace_id", "betas"}
THINK = {"type": "enabled", "budget_tokens": 1024}


class Person(BaseModel):
    name: str = Field(max_length=20)
    age: int = Field(ge=0, le=150)


def check_messages() -> None:
    message = client.messages.create(messages=ASKED, **GREEDY)
    assert ANSWER in message.content[0].text
    assert message.stop_reason == "end_turn"
    assert message._request_id.startswith("req_")


def check_stream() -> None:
    events = list(client.messages.create(messages=ASKED, stream=True, **GREEDY))
    text = "".join(e.delta.text for e in events if e.type == "content_block_delta")
    assert ANSWER in text
    assert events[-2].usage.output_tokens > 0


def check_stream_helper() -> None:
    with client.messages.stream(messages=ASKED, **GREEDY) as stream:
        text = "".join(stream.text_stream)
        assert stream.get_final_message().content[0].text == text
    assert ANSWER in text


def check_async() -> None:
    async def ask() -> tuple[str, str]:
        async with AsyncAnthropic(base_url=ADDRESS, api_key="none", max_retries=0) as other:
            whole: Any = await other.messages.create(messages=ASKED, **GREEDY)
            async with other.messages.stream(messages=ASKED, **GREEDY) as stream:
                return whole.content[0].text, await stream.get_final_text()

    whole, streamed = asyncio.run(ask())
    assert whole == streamed
    assert ANSWER in whole


def check_thinking() -> None:
    message = client.messages.create(messages=ASKED, thinking=THINK, **GREEDY)
    assert [block.type for block in message.content] == ["thinking", "text"]
    again = [*ASKED, message.to_param(), {"role": "user", "content": "And of Spain?"}]
    assert client.messages.create(messages=again, **GREEDY).content[0].text


def check_tools() -> None:
    messages: list[Any] = [{"role": "user", "content": WEATHER}]
    message = client.messages.create(messages=messages, tools=[TOOL], **GREEDY)
    call = message.content[-1]
    assert (message.stop_reason, call.name, call.input) == ("tool_use", "get_weather", {"city": "Paris"})
    result = {"type": "tool_result", "tool_use_id": call.id, "content": REPORT}
    messages += [message.to_param(), {"role": "user", "content": [result]}]
    assert "21" in client.messages.create(messages=messages, tools=[TOOL], **GREEDY).content[0].text


def check_streamed_tools() -> None:
    asked = [{"role": "user", "content": WEATHER}]
    choice = {"type": "any", "disable_parallel_tool_use": True}
    with client.messages.stream(messages=asked, tools=[TOOL], tool_choice=choice, **GREEDY) as stream:
        kinds = {event.type for event in stream}
        (call,) = stream.get_final_message().content
    assert call.input == {"city": "Paris"}
    assert "input_json" in kinds


def check_tools_run_by_the_client() -> None:
    asked: list[str] = []

    @beta_tool
    def get_weather(city: str) -> str:
        """Get the weather of a city."""
        asked.append(city)
        return REPORT

    runner = client.beta.messages.tool_runner(
        messages=[{"role": "user", "content": WEATHER}], tools=[get_weather], **GREEDY
    )
    assert "21" in runner.until_done().content[0].text
    assert asked == ["Paris"]


def check_structured_output() -> None:
    asked: Any = [{"role": "user", "content": PERSON}]
    message = client.messages.parse(messages=asked, output_format=Person, **GREEDY)
    assert isinstance(message.parsed_output, Person)


def check_stop_sequences() -> None:
    message = client.messages.create(messages=ASKED, stop_sequences=[" is"], **GREEDY)
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", " is")


def check_fields_without_effect() -> None:
    cached = {"cache_control": {"type": "ephemeral"}}
    message = client.messages.create(
        messages=[{"role": "user", "content": [{"type": "text", "text": QUESTION, **cached}]}],
        system=[{"type": "text", "text": "Be brief.", **cached}],
        metadata={"user_id": "somebody"},
        service_tier="auto",
        extra_headers={"anthropic-beta": "prompt-caching-2024-07-31"},
        **GREEDY,
    )
    assert message.content[0].text


def check_every_field_without_a_value() -> None:
    """What the package knows passes as null, and as a known field: unknown ones are reported."""
    for messages, shape in (
        (client.messages, message_create_params.MessageCreateParamsBase),
        (client.beta.messages, beta_create_params.MessageCreateParamsBase),
    ):
        fields = {*shape.__annotations__} - {"model", "messages", "max_tokens", *HEADERS}
        assert len(fields) > 10
        answer = messages.with_raw_response.create(
            messages=ASKED, **{**GREEDY, "extra_body": {"temperature": 0, **dict.fromkeys(fields)}}
        )
        assert "x-caravan-ignored" not in answer.headers, answer.headers


def check_models() -> None:
    raw = client.models.with_raw_response.list()
    page = json.loads(raw.http_response.content)
    for data in page["data"]:
        contract.check_model(data)
    assert MODEL in [model.id for model in client.models.list(limit=1)]
    assert client.models.retrieve(MODEL).created_at.year >= 2026
    contract.check_model(json.loads(client.models.with_raw_response.retrieve(MODEL).http_response.content))
    assert [model.id for model in client.beta.models.list()] == [model["id"] for model in page["data"]]
    missing = _refusal(lambda: client.models.retrieve("no-such-model"))
    assert isinstance(missing, anthropic.NotFoundError)
    assert missing.type == "not_found_error"


def check_counting() -> None:
    count = client.messages.count_tokens(model=MODEL, messages=ASKED).input_tokens
    usage = client.messages.create(messages=ASKED, **GREEDY).usage
    assert usage.input_tokens + usage.cache_read_input_tokens == count


def check_the_contract() -> None:
    needs("messages")
    options = {
        "messages": [{"role": "user", "content": WEATHER}],
        "tools": [TOOL],
        "thinking": THINK,
        **GREEDY,
    }
    raw = client.messages.with_raw_response.create(**options)
    contract.check_message(json.loads(raw.http_response.content))
    with client.messages.with_streaming_response.create(stream=True, **options) as streamed:
        contract.check_events(b"".join(streamed.iter_bytes()).decode())


def check_errors() -> None:
    missing = _refusal(lambda: client.messages.create(messages=ASKED, **{**GREEDY, "model": "no-such-model"}))
    assert isinstance(missing, anthropic.NotFoundError)
    assert missing.type == "not_found_error"
    hot = {**GREEDY, "extra_body": {"temperature": 900}}
    wrong = _refusal(lambda: client.messages.create(messages=ASKED, **hot))
    assert isinstance(wrong, anthropic.BadRequestError)
    assert wrong.error_code == "invalid_value"
    assert wrong.request_id.startswith("req_")


def _refusal(ask: Callable[[], object]) -> Any:  # noqa: ANN401
    try:
        ask()
    except anthropic.APIStatusError as error:
        return error
    raise AssertionError("the request has been taken")


if __name__ == "__main__":
    run(globals())
