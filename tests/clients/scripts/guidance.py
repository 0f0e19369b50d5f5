"""guidance with its clients of vLLM and SGLang, and its tools."""

import json
from typing import Any

from guidance import assistant, gen, select, user
from guidance import json as json_text
from guidance.models.experimental import SglangModel, VLLMModel

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

MODELS: Any = [
    kind(MODEL, base_url=BASE_URL, api_key="none", echo=False) for kind in (VLLMModel, SglangModel)
]
vllm, _ = MODELS


def _answered(model: Any, question: str, *nodes: Any) -> Any:  # noqa: ANN401
    with user():
        model += question
    with assistant():
        for node in nodes:
            model += node
    return model


def check_chat() -> None:
    for model in MODELS:
        assert ANSWER in _answered(model, QUESTION, gen("answer", max_tokens=30))["answer"]


def check_choices_and_expressions_in_turns() -> None:
    first = _answered(vllm, "What colour is grass?", select(["red", "green"], name="colour"))
    second = _answered(first, "A year?", "It is " + gen("year", regex="[12][0-9]{3}", max_tokens=10))
    assert second["colour"] in ("red", "green")
    assert len(second["year"]) == 4


def check_json_schemas() -> None:
    for model in MODELS:
        found = json.loads(_answered(model, PERSON, json_text(name="person", schema=PERSON_SCHEMA))["person"])
        assert set(found) == {"name", "age"}


def check_tools() -> None:
    asked: list[str] = []

    def get_weather(city: str) -> str:
        """Get the weather of a city."""
        asked.append(city)
        return REPORT

    with user():
        model = vllm + WEATHER
    with assistant():
        model += gen(tools=[get_weather])
    assert asked == ["Paris"]
    assert "21" in _answered(model, "So?", gen("answer", max_tokens=30))["answer"]


if __name__ == "__main__":
    run(globals())
