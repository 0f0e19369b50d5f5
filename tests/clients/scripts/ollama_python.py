"""Ollama's own client for Python, whose server this one is taken for."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import ollama

from tests.clients import ollama_contract as contract
from tests.clients.conversation import (
    ANSWER,
    BASE_URL,
    MODEL,
    PERSON,
    PERSON_SCHEMA,
    QUESTION,
    REPORT,
    WEATHER,
    WEATHER_TOOL,
    run,
)
from tests.waiting import PATIENCE

ADDRESS = BASE_URL.removesuffix("/v1")
client = ollama.Client(host=ADDRESS)
ASKED = [{"role": "user", "content": QUESTION}]
SURE = {"temperature": 0}


def get_weather(city: str) -> str:
    """Get the weather of a city.

    Args:
      city: The city
    """
    return f"{REPORT} in {city}"


def check_chat() -> None:
    answer = client.chat(MODEL, ASKED, options=SURE)
    assert ANSWER in (answer.message.content or "")
    assert answer.done
    assert answer.done_reason == "stop"
    assert answer.eval_count
    assert answer.prompt_eval_count
    parts = (answer.load_duration or 0, answer.prompt_eval_duration or 0, answer.eval_duration or 0)
    assert 0 < sum(parts) <= (answer.total_duration or 0)


def check_stream() -> None:
    lines = list(client.chat(f"{MODEL}:latest", ASKED, options=SURE, stream=True))
    assert ANSWER in "".join(line.message.content or "" for line in lines)
    assert [line.done for line in lines] == [False] * (len(lines) - 1) + [True]


def check_async() -> None:
    async def ask() -> str:
        other = ollama.AsyncClient(host=ADDRESS)
        lines = await other.chat(MODEL, ASKED, options=SURE, stream=True)
        return "".join([line.message.content or "" async for line in lines])

    assert ANSWER in asyncio.run(ask())


def check_thinking() -> None:
    answer = client.chat(MODEL, ASKED, options=SURE, think=True)
    assert answer.message.thinking
    plain = client.chat(MODEL, ASKED, options=SURE, think=False)
    assert not plain.message.thinking


def check_tools() -> None:
    messages: list[Any] = [{"role": "user", "content": WEATHER}]
    message = client.chat(MODEL, messages, tools=[get_weather], options=SURE).message
    assert message.tool_calls
    call = message.tool_calls[0].function
    assert call.arguments == {"city": "Paris"}
    messages += [message, {"role": "tool", "tool_name": call.name, "content": get_weather(**call.arguments)}]
    again = client.chat(MODEL, messages, tools=[get_weather], options=SURE)
    assert "21" in (again.message.content or "")


def check_streamed_tools() -> None:
    lines = client.chat(
        MODEL, [{"role": "user", "content": WEATHER}], tools=[get_weather], options=SURE, stream=True
    )
    calls = [call for line in lines for call in line.message.tool_calls or ()]
    assert [call.function.arguments for call in calls] == [{"city": "Paris"}]


def check_format() -> None:
    asked = [{"role": "user", "content": PERSON}]
    answer = client.chat(MODEL, asked, format=PERSON_SCHEMA, options=SURE)
    assert set(json.loads(answer.message.content or "")) == {"name", "age"}
    loose = client.chat(MODEL, asked, format="json", options={"temperature": 0, "num_predict": 200})
    assert loose.done_reason == "length" or isinstance(json.loads(loose.message.content or ""), dict)


def check_generate() -> None:
    answer = client.generate(MODEL, QUESTION, system="Be brief.", options=SURE)
    assert answer.response
    lines = list(
        client.generate(MODEL, "Once upon a time", raw=True, options={"num_predict": 8}, stream=True)
    )
    assert "".join(line.response or "" for line in lines)
    assert lines[-1].done_reason == "length"
    assert lines[-1].eval_count == 8


def check_logprobs() -> None:
    answer = client.chat(MODEL, ASKED, options={"temperature": 0}, logprobs=True, top_logprobs=2)
    assert answer.logprobs
    assert all(entry.top_logprobs and len(entry.top_logprobs) == 2 for entry in answer.logprobs)


def check_loading() -> None:
    assert client.generate(MODEL).done_reason == "load"
    assert client.chat(MODEL, keep_alive="5m").done_reason == "load"


def check_embeddings() -> None:
    found = client.embed(MODEL, ["the wind", "the trees"])
    assert len({len(vector) for vector in found.embeddings}) == 1
    assert found.prompt_eval_count
    assert list(client.embeddings(MODEL, "the wind").embedding) == list(found.embeddings[0])


def check_models() -> None:
    listed = client.list().models
    assert f"{MODEL}:latest" in [model.model for model in listed]
    assert listed[0].details
    assert listed[0].details.format == "gguf"
    shown = client.show(listed[0].model or "")
    assert shown.capabilities
    assert {"completion", "tools", "thinking"} <= set(shown.capabilities)
    assert (shown.modelinfo or {})["general.architecture"] == listed[0].details.family
    client.generate(MODEL)
    assert [model.name for model in client.ps().models] == [f"{MODEL}:latest"]


def check_what_changes_models_is_refused() -> None:
    for act in (
        lambda: client.pull(MODEL),
        lambda: client.push(MODEL),
        lambda: client.copy(MODEL, "other"),
        lambda: client.delete(MODEL),
        lambda: client.create("other", from_=MODEL),
    ):
        assert _refusal(act).status_code == 403


def check_the_contract() -> None:
    with httpx.Client(base_url=f"{ADDRESS}/api", timeout=PATIENCE) as raw:

        def sent(path: str, body: dict[str, Any] | None = None) -> str:
            answer = raw.get(path) if body is None else raw.post(path, json={"model": MODEL, **body})
            assert answer.status_code == 200, answer.text
            return answer.text

        short = {"temperature": 0, "num_predict": 20}
        chat = {"messages": [{"role": "user", "content": WEATHER}], "options": short}
        text = {"prompt": "Once upon a time", "options": short, "logprobs": True, "top_logprobs": 1}
        for more in ({"tools": [WEATHER_TOOL]}, {"think": True}, {"logprobs": True, "top_logprobs": 1}):
            contract.check(ollama.ChatResponse, sent("/chat", {**chat, **more, "stream": False}))
            contract.check_lines(ollama.ChatResponse, sent("/chat", {**chat, **more}))
        contract.check(ollama.GenerateResponse, sent("/generate", {**text, "stream": False}))
        contract.check_lines(ollama.GenerateResponse, sent("/generate", text))
        contract.check(ollama.EmbedResponse, sent("/embed", {"input": ["the wind"]}))
        contract.check(ollama.ListResponse, sent("/tags"))
        contract.check(ollama.ShowResponse, sent("/show", {}))
        contract.check(ollama.ProcessResponse, sent("/ps"))


def check_errors() -> None:
    missing = _refusal(lambda: client.chat("no-such-model", ASKED))
    assert missing.status_code == 404
    assert "no-such-model" in missing.error
    wrong = _refusal(lambda: list(client.chat(MODEL, ASKED, options={"temperature": 900}, stream=True)))
    assert "options.temperature" in wrong.error
    image = [{"role": "user", "content": QUESTION, "images": [b"x"]}]
    assert "images" in _refusal(lambda: client.chat(MODEL, image)).error


def _refusal(act: Callable[[], object]) -> ollama.ResponseError:
    try:
        act()
    except ollama.ResponseError as error:
        return error
    raise AssertionError("the request has been taken")


if __name__ == "__main__":
    run(globals())
