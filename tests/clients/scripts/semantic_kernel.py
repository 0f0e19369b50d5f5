"""Semantic Kernel: an agent with a plugin whose function the model calls."""

import asyncio
from typing import Annotated, Any

from openai import AsyncOpenAI
from pydantic import BaseModel, Field
from semantic_kernel.agents import ChatCompletionAgent
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion, OpenAIChatPromptExecutionSettings
from semantic_kernel.functions import KernelArguments, kernel_function

from tests.clients.conversation import ANSWER, BASE_URL, MODEL, PERSON, QUESTION, REPORT, WEATHER, run


class Person(BaseModel):
    name: str = Field(max_length=20)
    age: int = Field(ge=0, le=150)


class Weather:
    """What the weather is."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    @kernel_function(description="Get the weather of a city.")
    def get_weather(self, city: Annotated[str, "The city"]) -> str:
        """Tell it."""
        self.asked.append(city)
        return REPORT


def _agent(**options: Any) -> ChatCompletionAgent:  # noqa: ANN401
    service = OpenAIChatCompletion(MODEL, async_client=AsyncOpenAI(base_url=BASE_URL, api_key="none"))
    return ChatCompletionAgent(
        service=service,
        arguments=KernelArguments(OpenAIChatPromptExecutionSettings(temperature=0)),
        **options,
    )


def check_chat() -> None:
    assert ANSWER in str(asyncio.run(_agent().get_response(QUESTION)))


def check_streaming() -> None:
    async def ask() -> str:
        return "".join([str(piece.message) async for piece in _agent().invoke_stream(QUESTION)])

    assert ANSWER in asyncio.run(ask())


def check_tools() -> None:
    weather = Weather()
    assert "21" in str(asyncio.run(_agent(plugins=[weather]).get_response(WEATHER)))
    assert weather.asked == ["Paris"]


def check_structured_output() -> None:
    settings = OpenAIChatPromptExecutionSettings(temperature=0, response_format=Person)
    answer = asyncio.run(_agent().get_response(PERSON, arguments=KernelArguments(settings)))
    assert Person.model_validate_json(str(answer))


if __name__ == "__main__":
    run(globals())
