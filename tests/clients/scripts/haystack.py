"""Haystack: a chat generator, and an agent that calls a tool."""

from haystack.components.agents import Agent
from haystack.components.embedders import OpenAITextEmbedder
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage, StreamingChunk
from haystack.tools import create_tool_from_function
from haystack.utils import Secret

from tests.clients.conversation import (
    ANSWER,
    BASE_URL,
    MODEL,
    PERSON,
    PERSON_SCHEMA,
    QUESTION,
    REPORT,
    WEATHER,
    run,
)

KEY = Secret.from_token("none")
generator = OpenAIChatGenerator(
    api_key=KEY, model=MODEL, api_base_url=BASE_URL, generation_kwargs={"temperature": 0}, max_retries=0
)
ASKED: list[str] = []


def get_weather(city: str) -> str:
    """Get the weather of a city."""
    ASKED.append(city)
    return REPORT


def check_chat() -> None:
    (reply,) = generator.run([ChatMessage.from_user(QUESTION)])["replies"]
    assert ANSWER in reply.text
    assert reply.meta["usage"]["completion_tokens"] > 0


def check_streaming() -> None:
    pieces: list[StreamingChunk] = []
    (reply,) = generator.run([ChatMessage.from_user(QUESTION)], streaming_callback=pieces.append)["replies"]
    assert len(pieces) > 1
    assert ANSWER in reply.text


def check_tools() -> None:
    agent = Agent(chat_generator=generator, tools=[create_tool_from_function(get_weather)])
    assert "21" in agent.run([ChatMessage.from_user(WEATHER)])["last_message"].text
    assert ASKED == ["Paris"]


def check_structured_output() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON_SCHEMA}}
    (reply,) = generator.run([ChatMessage.from_user(PERSON)], generation_kwargs={"response_format": wanted})[
        "replies"
    ]
    assert '"age"' in reply.text


def check_embeddings() -> None:
    embedder = OpenAITextEmbedder(api_key=KEY, model=MODEL, api_base_url=BASE_URL)
    assert embedder.run("the wind")["embedding"]


if __name__ == "__main__":
    run(globals())
