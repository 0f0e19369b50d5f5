"""What chat templates show over HTTP: conversations of agents with templates of published habits."""

import dataclasses
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import openai
import pytest
from caravan.chat.rendering.client import TemplateProcess
from caravan.models.loaded_model import LoadedModel
from openai.types.chat import ChatCompletionMessageParam

from tests.chat.rendering.sources import FIRST_SYSTEM, PEDANT, STRICT, WHOLE
from tests.fakes_web import ScriptedEngine, loaded_model, local_template, registry_over
from tests.live_server import live_server
from tests.waiting import PATIENCE
from tests.web.chat_models import HERMES, WEATHER, app_over

# Like Qwen3's: a test for null that is of another field, and text wanted beside calls.
TEXT_BESIDE_CALLS = HERMES.replace(
    "{{ m.content or '' }}",
    "{% if m.reasoning_content is not none and '</think>' in m.content %}{% endif %}{{ m.content }}",
)
USER: dict[str, str] = {"role": "user", "content": "Weather in Oslo?"}
FUNCTION = {"name": "get_weather", "arguments": '{"city": "Oslo"}'}
CALL = {"id": "call_1", "type": "function", "function": FUNCTION}
LOOP: list[dict[str, Any]] = [
    USER,
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "2 degrees"},
]
ITEMS: list[dict[str, str]] = [
    USER,
    {"type": "function_call", "call_id": "call_1", **FUNCTION},
    {"type": "function_call_output", "call_id": "call_1", "output": "2 degrees"},
]
FLAT: dict[str, Any] = {"type": "function", **WEATHER["function"]}


def _text(token_ids: Sequence[int]) -> str:
    """What the engine was asked to go on with, without control tokens."""
    return bytes(token for token in token_ids if token < 256).decode()


@pytest.mark.parametrize("template", [HERMES, TEXT_BESIDE_CALLS, PEDANT, WHOLE, FIRST_SYSTEM, STRICT])
@pytest.mark.parametrize("has_tools", [True, False])
def test_a_tool_loop_with_null_content(template: str, has_tools: bool) -> None:
    """As OpenAI's SDK sends it, for chats and for responses."""
    engine = ScriptedEngine(context_size=10_000)
    with app_over(engine, template) as client:
        tools = {"tools": [WEATHER]} if has_tools else {}
        chat = client.post("/v1/chat/completions", json={"model": "fake", "messages": LOOP, **tools})
        assert chat.status_code == 200, chat.json()
        shown = _text(engine.requests[-1].token_ids)
        assert shown.index("Weather in Oslo?") < shown.rindex('"Oslo"') < shown.index("2 degrees")
        tools = {"tools": [FLAT]} if has_tools else {}
        response = client.post("/v1/responses", json={"model": "fake", "input": ITEMS, **tools})
        assert response.status_code == 200, response.json()
        assert _text(engine.requests[-1].token_ids) == shown


@pytest.mark.parametrize("template", [HERMES, FIRST_SYSTEM, STRICT])
def test_instructions_anywhere(template: str) -> None:
    engine = ScriptedEngine(context_size=10_000)
    texts = ["Be kind.", "Be brief.", "Hi", "Hello", "Now in French.", "Bye"]
    roles = ["system", "developer", "user", "assistant", "developer", "user"]
    said = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=True)]
    with app_over(engine, template) as client:
        for url, field in (("/v1/chat/completions", "messages"), ("/v1/responses", "input")):
            answer = client.post(url, json={"model": "fake", field: said})
            assert answer.status_code == 200, answer.json()
            shown = _text(engine.requests[-1].token_ids)
            places = [shown.index(text) for text in texts]
            assert places == sorted(places)


def test_what_the_template_would_hide_is_a_400_that_names_it() -> None:
    engine = ScriptedEngine()
    said = [{"role": "user", "content": text} for text in ("a", "b")]
    said.insert(1, {"role": "assistant", "content": "c"})
    with app_over(engine, "{{ messages[-1].content }}") as client:
        for url, field in (("/v1/chat/completions", "messages"), ("/v1/responses", "input")):
            answer = client.post(url, json={"model": "fake", field: said})
            error = answer.json()["error"]
            assert (answer.status_code, error["param"]) == (400, f"{field}[0]"), error
            assert f"'{field}[0]' would not reach the model" in error["message"]
    assert not engine.requests


def test_a_second_template_is_for_requests_with_tools() -> None:
    engine = ScriptedEngine(context_size=10_000)
    model = dataclasses.replace(loaded_model(engine), tool_template=local_template(HERMES))
    with app_over(engine, model=model) as client:
        for tools, start in (({}, "user\n"), ({"tools": [WEATHER]}, '{"type": "function"')):
            answer = client.post("/v1/chat/completions", json={"model": "fake", "messages": [USER], **tools})
            assert answer.status_code == 200, answer.json()
            assert _text(engine.requests[-1].token_ids).startswith(start)
        assert client.get("/v1/models/fake").json()["chat_template"]["tools"]


def test_a_model_shows_what_its_template_supports() -> None:
    with app_over(ScriptedEngine(), PEDANT) as client:
        shown = client.get("/v1/models/fake").json()["chat_template"]
    assert (shown["tools"], shown["parallel_tool_calls"], shown["developer"]) == (True, False, False)
    assert "parallel calls are given one by one" in shown["adaptations"]
    assert (shown["tool_format"], shown["is_guess"]) == ("json", True)


HANGS_IF_BAD = """{% if messages[0].content == 'bad' %}{% for i in range(99999) %}{% for j in range(99999) %}\
{% endfor %}{% endfor %}{% endif %}{% for m in messages %}{{ m.content }}{% endfor %}"""


@contextmanager
def two_models() -> Generator[str, None, None]:
    """A live server with a model whose template hangs, and another one."""
    hanging = TemplateProcess(HANGS_IF_BAD, seconds=1)
    other = TemplateProcess(WHOLE)
    models: list[LoadedModel] = [
        dataclasses.replace(loaded_model(name=name), template=template)
        for name, template in (("hanging", hanging), ("other", other))
    ]
    with live_server(registry_over(*models)) as url:
        yield url
    hanging.close()
    other.close()


def test_a_template_that_hangs_costs_its_own_requests_alone() -> None:
    def ask(model: str, content: str) -> httpx.Response:
        said = [{"role": "user", "content": content}]
        body = {"model": model, "messages": said}
        return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=PATIENCE)

    with two_models() as url, ThreadPoolExecutor(16) as pool:
        refused = [pool.submit(ask, "hanging", "bad") for _ in range(3)]
        tokenizing = pool.submit(
            httpx.post,
            f"{url}/apply-template",
            json={"model": "hanging", "messages": [{"role": "user", "content": "bad"}]},
            timeout=PATIENCE,
        )
        assert ask("other", "Hi").status_code == 200
        assert not all(future.done() for future in refused)
        for _ in range(4):
            assert ask("other", "Hi").status_code == 200
        for answer in [future.result() for future in (*refused, tokenizing)]:
            error = answer.json()["error"]
            assert (answer.status_code, error["param"], error["code"]) == (400, "messages", "template_limit")
            assert "takes too long" in error["message"]
        assert ask("hanging", "Hi").status_code == 200


def test_openais_sdk_through_a_process() -> None:
    """A whole tool loop, live, with the messages that the SDK gives back."""
    engine = ScriptedEngine(context_size=10_000)
    template = TemplateProcess(TEXT_BESIDE_CALLS)
    model = dataclasses.replace(loaded_model(engine, template=TEXT_BESIDE_CALLS), template=template)
    call = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>'
    engine.script = lambda _request, _index: [call]
    with live_server(registry_over(model)) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        said: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Weather in Oslo?"}]
        first = client.chat.completions.create(model="fake", messages=said, tools=[WEATHER])  # type: ignore[list-item]
        message = first.choices[0].message
        assert message.content is None
        assert message.tool_calls
        said.append(message.to_dict())  # type: ignore[arg-type]
        said.append({"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "2 degrees"})
        engine.script = lambda _request, _index: ["Cold."]
        second = client.chat.completions.create(model="fake", messages=said, tools=[WEATHER])  # type: ignore[list-item]
        assert second.choices[0].message.content == "Cold."
    template.close()
