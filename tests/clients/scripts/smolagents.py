"""smolagents: the agent that calls tools, and the one that writes Python. Its model is a scripted one."""

from smolagents import CodeAgent, OpenAIServerModel, ToolCallingAgent, tool

from tests.clients.conversation import BASE_URL, MODEL, REPORT, WEATHER, run

model = OpenAIServerModel(model_id=MODEL, api_base=BASE_URL, api_key="none")
ASKED: list[str] = []


@tool
def get_weather(city: str) -> str:
    """Get the weather of a city.

    Args:
        city: The city
    """
    ASKED.append(city)
    return REPORT


def check_tools() -> None:
    assert "21" in str(ToolCallingAgent(tools=[get_weather], model=model, max_steps=3).run(WEATHER))
    assert ASKED == ["Paris"]


def check_streamed_tools() -> None:
    ASKED.clear()
    agent = ToolCallingAgent(tools=[get_weather], model=model, max_steps=3, stream_outputs=True)
    assert "21" in str(list(agent.run(WEATHER, stream=True))[-1])
    assert ASKED == ["Paris"]


def check_code() -> None:
    ASKED.clear()
    agent = CodeAgent(tools=[get_weather], model=model, max_steps=3)
    assert agent.run("Compute how warm Rome is.") == REPORT
    assert ASKED == ["Rome"]


if __name__ == "__main__":
    run(globals())
