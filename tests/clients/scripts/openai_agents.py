"""OpenAI's Agents SDK, over chat completions and over responses."""

import asyncio
from typing import Any

from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIConversationsSession,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from pydantic import BaseModel, Field

from tests.clients.conversation import ANSWER, BASE_URL, MODEL, PERSON, QUESTION, REPORT, WEATHER, run

set_tracing_disabled(True)
GREEDY = ModelSettings(temperature=0)
MODELS = (OpenAIChatCompletionsModel, OpenAIResponsesModel)
ASKED: list[str] = []


class Person(BaseModel):
    """A person."""

    name: str = Field(max_length=20)
    age: int = Field(ge=0, le=150)


@function_tool
def get_weather(city: str) -> str:
    """Get the weather of a city."""
    ASKED.append(city)
    return REPORT


def _agent(kind: Any, **options: Any) -> Agent[None]:  # noqa: ANN401
    client = AsyncOpenAI(base_url=BASE_URL, api_key="none", max_retries=0)
    return Agent(
        name="helper", model=kind(model=MODEL, openai_client=client), model_settings=GREEDY, **options
    )


def check_chat() -> None:
    for kind in MODELS:
        assert ANSWER in Runner.run_sync(_agent(kind), QUESTION).final_output


def check_streaming() -> None:
    async def ask(kind: object) -> str:
        found = Runner.run_streamed(_agent(kind), QUESTION)
        kinds = {event.type async for event in found.stream_events()}
        assert {"raw_response_event", "run_item_stream_event"} <= kinds
        return str(found.final_output)

    for kind in MODELS:
        assert ANSWER in asyncio.run(ask(kind))


def check_tools() -> None:
    for kind in MODELS:
        ASKED.clear()
        assert "21" in Runner.run_sync(_agent(kind, tools=[get_weather]), WEATHER).final_output
        assert ASKED == ["Paris"]


def check_conversations() -> None:
    """Kept by the SDK, which adds to one, and by the server, whose responses do."""

    async def talk(client: AsyncOpenAI) -> None:
        agent = _agent(OpenAIResponsesModel, tools=[get_weather])
        session = OpenAIConversationsSession(openai_client=client)
        for question, answer in ((QUESTION, ANSWER), (WEATHER, "21")):
            assert answer in (await Runner.run(agent, question, session=session)).final_output
        kept = [item["type"] for item in await session.get_items()]
        await session.clear_session()
        conversation = (await client.conversations.create()).id
        for question, answer in ((QUESTION, ANSWER), (WEATHER, "21")):
            found = await Runner.run(agent, question, conversation_id=conversation)
            assert answer in found.final_output
        items = client.conversations.items.list(conversation, order="asc")
        assert [item.type async for item in items] == kept
        assert kept.count("function_call") == kept.count("function_call_output") == 1

    asyncio.run(talk(AsyncOpenAI(base_url=BASE_URL, api_key="none", max_retries=0)))


def check_structured_output() -> None:
    for kind in MODELS:
        assert isinstance(Runner.run_sync(_agent(kind, output_type=Person), PERSON).final_output, Person)


if __name__ == "__main__":
    run(globals())
