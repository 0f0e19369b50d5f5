"""Answers and chunks hold to OpenAI's own types: nothing wrong, nothing missing, no null but OpenAI's own."""

from collections.abc import Iterator
from typing import Any

import openai.types as text_types
import openai.types.chat as chat_types
import pydantic
import pytest
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine
from tests.routes.test_chat import chunks

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
ASKED: dict[str, Any] = {"model": "fake", "messages": [{"role": "user", "content": "x"}]}
PROMPT: dict[str, Any] = {"model": "fake", "prompt": "x"}

# What OpenAI leaves out where there is nothing to say, too.
OPTIONAL = {
    "audio",
    "function_call",
    "metadata",
    "moderation",
    "obfuscation",
    "tool_calls",
    "cache_write_tokens",
    "image_tokens",
    "text_tokens",
}
# OpenAI's own nulls.
NULLABLE = {"content", "refusal", "logprobs", "system_fingerprint", "finish_reason", "usage", "bytes"}
# A delta has what is new.
PARTIAL = {"ChoiceDelta", "ChoiceDeltaToolCall", "ChoiceDeltaToolCallFunction"}


def faults(model: pydantic.BaseModel, value: dict[str, Any], path: str = "") -> Iterator[str]:
    """Fields that are missing or null in `value`, which was read as `model`."""
    for name in type(model).model_fields:
        where = f"{path}.{name}"
        if name not in value:
            is_streams = name == "usage" and type(model).__name__ == "ChatCompletionChunk"
            if name not in OPTIONAL and type(model).__name__ not in PARTIAL and not is_streams:
                yield f"{where} is missing"
        elif value[name] is None:
            if name not in NULLABLE:
                yield f"{where} is null"
        else:
            held = getattr(model, name)
            pairs = zip(held, value[name], strict=True) if isinstance(held, list) else [(held, value[name])]
            for index, (member, raw) in enumerate(pairs):
                if isinstance(member, pydantic.BaseModel):
                    yield from faults(member, raw, f"{where}[{index}]")


def check(kind: type[pydantic.BaseModel], value: dict[str, Any]) -> None:
    """Hold an answer or a chunk against a type of OpenAI's."""
    assert list(faults(kind.model_validate(value, strict=True), value)) == []


@pytest.mark.parametrize("options", [{}, {"n": 3}], ids=str)
@pytest.mark.parametrize("usage", [False, True])
def test_a_chat(client: TestClient, options: dict[str, Any], usage: bool) -> None:
    check(chat_types.ChatCompletion, client.post(CHAT, json={**ASKED, **options}).json())
    more = {"stream": True, "stream_options": {"include_usage": usage}}
    sent = chunks(client.post(CHAT, json={**ASKED, **options, **more}).text)
    assert len(sent) > 3
    for chunk in sent:
        check(chat_types.ChatCompletionChunk, chunk)


@pytest.mark.parametrize("options", [{}, {"n": 2}, {"echo": True}], ids=str)
def test_a_text(client: TestClient, options: dict[str, Any]) -> None:
    check(text_types.Completion, client.post(TEXT, json={**PROMPT, **options}).json())


def test_the_check_finds_what_is_missing_and_what_is_null(client: TestClient, engine: ScriptedEngine) -> None:
    engine.script = lambda _request, _index: ["x"]
    answer = client.post(CHAT, json=ASKED).json()
    del answer["choices"][0]["message"]["annotations"]
    answer["service_tier"] = None
    found = list(faults(chat_types.ChatCompletion.model_validate(answer, strict=True), answer))
    assert found == [".choices[0].message[0].annotations is missing", ".service_tier is null"]
