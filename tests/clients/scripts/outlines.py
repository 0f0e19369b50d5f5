"""outlines, which constrains answers in the words of vLLM and in those of SGLang."""

from typing import Any, Literal

import openai
import outlines
from outlines.types import CFG, Regex
from pydantic import BaseModel, Field

from tests.clients.conversation import ANSWER, BASE_URL, MODEL, PERSON, QUESTION, run

client = openai.OpenAI(base_url=BASE_URL, api_key="none", max_retries=0)
MODELS: Any = [make(client, MODEL) for make in (outlines.from_vllm, outlines.from_sglang)]


class Person(BaseModel):
    name: str = Field(max_length=20)
    age: int = Field(ge=0, le=150)


def check_chat() -> None:
    for model in MODELS:
        assert ANSWER in model(QUESTION, temperature=0)


def check_streaming() -> None:
    for model in MODELS:
        assert ANSWER in "".join(model.stream(QUESTION, temperature=0))


def check_choices() -> None:
    for model in MODELS:
        assert model("What colour is grass?", Literal["red", "green"]) in ("red", "green")


def check_regular_expressions() -> None:
    for model in MODELS:
        assert len(model("A year?", Regex("[12][0-9]{3}"))) == 4


def check_json_schemas() -> None:
    for model in MODELS:
        assert Person.model_validate_json(model(PERSON, Person, temperature=0))


def check_grammars() -> None:
    for model in MODELS:
        assert model("Yes or no?", CFG('start: "yes" | "no"')) in ("yes", "no")


if __name__ == "__main__":
    run(globals())
