"""LiteLLM, as a provider of the kind `openai/`."""

import json
import os
from typing import Any

# It asks the internet for prices otherwise, three times.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm

from tests.clients.conversation import (
    ANSWER,
    BASE_URL,
    MODEL,
    QUESTION,
    REPORT,
    WEATHER,
    WEATHER_TOOL,
    needs,
    run,
)

OPTIONS: Any = {"model": f"openai/{MODEL}", "api_base": BASE_URL, "api_key": "none", "num_retries": 0}
ASKED = [{"role": "user", "content": QUESTION}]


def check_chat() -> None:
    answer = litellm.completion(messages=ASKED, temperature=0, **OPTIONS)
    assert ANSWER in answer.choices[0].message.content


def check_streaming() -> None:
    chunks = litellm.completion(messages=ASKED, temperature=0, stream=True, **OPTIONS)
    assert ANSWER in "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def check_tools() -> None:
    messages: list[Any] = [{"role": "user", "content": WEATHER}]
    answer = litellm.completion(messages=messages, tools=[WEATHER_TOOL], temperature=0, **OPTIONS)
    message = answer.choices[0].message
    (call,) = message.tool_calls
    assert json.loads(call.function.arguments) == {"city": "Paris"}
    messages += [message, {"role": "tool", "tool_call_id": call.id, "content": REPORT}]
    answer = litellm.completion(messages=messages, tools=[WEATHER_TOOL], temperature=0, **OPTIONS)
    assert "21" in answer.choices[0].message.content


def check_text_completions() -> None:
    options = {**OPTIONS, "model": f"text-completion-openai/{MODEL}"}
    assert litellm.text_completion(prompt="Once upon a time", max_tokens=10, **options).choices[0].text


def check_responses() -> None:
    needs("responses")
    assert litellm.responses(input=QUESTION, temperature=0, **OPTIONS).output


def check_embeddings() -> None:
    needs("embeddings")
    answer = litellm.embedding(input=["the wind", "the trees"], **OPTIONS)
    assert len(answer.data) == 2


if __name__ == "__main__":
    run(globals())
