"""The scripted model, through OpenAI's client: a call, its result, the answer."""

import json
from typing import Any

import openai

from tests.clients.conversation import ANSWER, QUESTION, REPORT, WEATHER, WEATHER_TOOL
from tests.clients.scripted import NAME, scripted_server
from tests.web.chat_models import hermes

TURNS = {
    "": "A title.",
    WEATHER: hermes("get_weather", '{"city": "Paris"}'),
    REPORT: "It is 21 degrees.",
}


def test_it_answers_what_was_said_last() -> None:
    messages: list[Any] = [{"role": "user", "content": WEATHER}]
    tools: Any = [WEATHER_TOOL]
    with scripted_server(TURNS) as url, openai.OpenAI(base_url=url, api_key="none") as client:

        def ask() -> Any:  # noqa: ANN401
            return client.chat.completions.create(model=NAME, messages=messages, tools=tools).choices[0]

        choice = ask()
        (call,) = choice.message.tool_calls
        assert (choice.finish_reason, json.loads(call.function.arguments)) == (
            "tool_calls",
            {"city": "Paris"},
        )
        messages += [choice.message, {"role": "tool", "tool_call_id": call.id, "content": REPORT}]
        assert ask().message.content == TURNS[REPORT]
        messages[:] = [{"role": "user", "content": QUESTION + ANSWER}]
        assert ask().message.content == TURNS[""]
