"""pydantic-ai: agents over `OpenAIChatModel`."""

import asyncio

from pydantic import BaseModel, Field
from pydantic_ai import Agent, NativeOutput, ToolOutput
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.clients.conversation import (
    ANSWER,
    BASE_URL,
    MODEL,
    PERSON,
    QUESTION,
    REPORT,
    WEATHER,
    needs,
    run,
)

provider = OpenAIProvider(base_url=BASE_URL, api_key="none")
model = OpenAIChatModel(MODEL, provider=provider)
GREEDY = {"temperature": 0.0}


class Person(BaseModel):
    """A person."""

    name: str = Field(max_length=20)
    age: int = Field(ge=0, le=150)


def check_chat() -> None:
    assert ANSWER in Agent(model, model_settings=GREEDY).run_sync(QUESTION).output


def check_streaming() -> None:
    async def ask() -> str:
        async with Agent(model, model_settings=GREEDY).run_stream(QUESTION) as stream:
            return "".join([piece async for piece in stream.stream_text(delta=True)])

    assert ANSWER in asyncio.run(ask())


def check_tools() -> None:
    agent = Agent(model, model_settings=GREEDY)
    asked: list[str] = []

    @agent.tool_plain
    def get_weather(city: str) -> str:
        """Get the weather of a city."""
        asked.append(city)
        return REPORT

    assert "21" in agent.run_sync(WEATHER).output
    assert asked == ["Paris"]


def check_structured_output() -> None:
    for kind in (NativeOutput, ToolOutput):
        found = Agent(model, output_type=kind(Person), model_settings=GREEDY).run_sync(PERSON).output
        assert isinstance(found, Person), kind


def check_responses() -> None:
    needs("responses")
    agent = Agent(OpenAIResponsesModel(MODEL, provider=provider), model_settings=GREEDY)
    assert ANSWER in agent.run_sync(QUESTION).output


if __name__ == "__main__":
    run(globals())
