"""Responses of the model that ships, through the official client and its helpers."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import openai
import pytest
from openai import OpenAI, pydantic_function_tool
from openai.types.responses import Response
from pydantic import BaseModel

from tests.faults.process import ServerProcess
from tests.responses_contract import checked_response

MODEL = "caravan-resident"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER: dict[str, Any] = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the weather of a city.",
    "parameters": CITY,
}
CAPITAL = "What is the capital of France?"


class GetWeather(BaseModel):
    """Get the weather of a city."""

    city: str


class Answer(BaseModel):
    """Which city is a capital."""

    city: Literal["Paris", "Rome"]


@pytest.fixture(scope="module")
def client(live_server: ServerProcess) -> Iterator[OpenAI]:
    with OpenAI(base_url=live_server.url, api_key="none", max_retries=0) as made:
        yield made


def ask(client: OpenAI, said: Any, **options: Any) -> Response:  # noqa: ANN401
    """A greedy response."""
    request = {"model": MODEL, "input": said, "temperature": 0, "max_output_tokens": 100, **options}
    response: Response = client.responses.create(**request)
    checked_response(response.model_dump(by_alias=True, exclude_unset=True))
    return response


def test_a_question_is_answered_and_the_answer_found_again(client: OpenAI) -> None:
    response = ask(client, CAPITAL)
    assert response.output_text == "The capital of France is Paris."
    assert response.usage is not None
    assert response.usage.output_tokens == 8
    assert client.responses.retrieve(response.id) == response
    (item,) = client.responses.input_items.list(response.id).data
    assert item.to_dict()["content"] == [{"type": "input_text", "text": CAPITAL}]
    client.responses.delete(response.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)


def test_the_stream_helper_adds_up_to_the_same(client: OpenAI) -> None:
    with client.responses.stream(model=MODEL, input=CAPITAL, temperature=0) as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert "".join(deltas) == final.output_text == ask(client, CAPITAL).output_text
    assert client.responses.retrieve(final.id).output_text == final.output_text


def test_the_parse_helper_makes_a_model(client: OpenAI) -> None:
    parsed = client.responses.parse(
        model=MODEL, input="Which city is the capital of France?", temperature=0, text_format=Answer
    )
    assert isinstance(parsed.output_parsed, Answer)


def test_a_tool_is_called_and_its_result_told(client: OpenAI) -> None:
    first = ask(client, "What is the weather in Paris?", tools=[WEATHER])
    (call,) = first.output
    assert call.type == "function_call"
    assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "Paris"})
    output = {"type": "function_call_output", "call_id": call.call_id, "output": '{"weather": "rain"}'}
    second = ask(client, [output], previous_response_id=first.id, tools=[WEATHER])
    again = ask(
        client, [{"role": "user", "content": "What is the weather in Paris?"}, call, output], tools=[WEATHER]
    )
    assert "rain" in second.output_text
    assert "rain" in again.output_text
    helped = client.responses.parse(
        model=MODEL,
        input="What is the weather in Paris?",
        temperature=0,
        tools=[pydantic_function_tool(GetWeather, name="get_weather")],
    )
    assert helped.output[0].type == "function_call"
    assert helped.output[0].parsed_arguments == GetWeather(city="Paris")


def test_thoughts_are_items_of_their_own(client: OpenAI) -> None:
    question = "What is 17 plus 25?"
    response = ask(client, question, reasoning={"effort": "high"})
    thought, message = response.output
    assert thought.type == "reasoning"
    assert thought.content is not None
    assert thought.content[0].text
    assert message.type == "message"
    assert response.usage is not None
    assert response.usage.output_tokens_details.reasoning_tokens > 0
    second = ask(client, "And of Spain?", previous_response_id=response.id)
    assert second.output_text


def test_a_conversation_goes_on_from_the_cache(client: OpenAI) -> None:
    first = ask(client, "My dog is called Rex. What is the capital of Italy?")
    second = ask(client, "And of Spain?", previous_response_id=first.id)
    assert "Madrid" in second.output_text
    assert first.usage is not None
    assert second.usage is not None
    # The whole of the first turn was computed before.
    assert second.usage.input_tokens_details.cached_tokens >= first.usage.input_tokens


def test_log_probabilities_are_those_of_the_text(client: OpenAI) -> None:
    response = ask(client, CAPITAL, include=["message.output_text.logprobs"], top_logprobs=2)
    message = response.output[0]
    assert message.type == "message"
    assert message.content[0].type == "output_text"
    logprobs = message.content[0].logprobs
    assert logprobs is not None
    assert "".join(entry.token for entry in logprobs).startswith(response.output_text)
    assert all(len(entry.top_logprobs) == 2 for entry in logprobs)


def test_a_background_response_is_polled(client: OpenAI) -> None:
    response = ask(client, CAPITAL, background=True)
    assert response.status == "queued"
    while response.status in ("queued", "in_progress"):
        time.sleep(0.02)
        response = client.responses.retrieve(response.id)
    assert (response.status, response.output_text) == ("completed", "The capital of France is Paris.")


def test_responses_outlive_a_killed_server(tmp_path: Path) -> None:
    options = ("--threads", "1", "--responses-db", str(tmp_path / "responses.db"))
    server = ServerProcess(*options)
    with OpenAI(base_url=server.url, api_key="none", max_retries=0) as client:
        kept = ask(client, CAPITAL)
        endless: dict[str, Any] = {"ignore_eos": True, "max_time": 60}
        running = client.responses.create(
            model=MODEL, input="Tell me a story.", background=True, extra_body=endless
        )
        os.kill(server.pid, signal.SIGKILL)
        assert server.stop() == -signal.SIGKILL
    server = ServerProcess(*options)
    try:
        with OpenAI(base_url=server.url, api_key="none", max_retries=0) as client:
            assert client.responses.retrieve(kept.id) == kept
            broken = client.responses.retrieve(running.id)
            checked_response(broken.model_dump(by_alias=True, exclude_unset=True))
            assert broken.status == "failed"
            second = ask(client, "And of Spain?", previous_response_id=kept.id)
            assert "Madrid" in second.output_text
    finally:
        assert server.stop() == 0
