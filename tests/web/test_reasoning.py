"""Thoughts, template variables and continued messages as clients see them, over a scripted model."""

from collections.abc import Generator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine
from tests.web.chat_models import HERMES, WEATHER, app_over, hermes
from tests.web.routes.test_chat import URL, body, chunks
from tests.web.test_tools import answered, folded, says

THOUGHT = "<think>\nHm.\n</think>\n\nHello."
# Prompts that open the thought themselves, as DeepSeek's do, with no word for leaving it out.
ALWAYS = (
    "{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}<think>\n{% endif %}\
{# </think> #}"
)
EFFORT = "{% for m in messages %}{{ m.content }}{% endfor %}[{{ reasoning_effort }}]{# </think> #}"
THOUGHTLESS = "{% for m in messages %}{{ m.content }}{% endfor %}"


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(context_size=8192)


@pytest.fixture
def client(engine: ScriptedEngine) -> Generator[TestClient, None, None]:
    with app_over(engine) as client:
        yield client


def prompt(engine: ScriptedEngine) -> str:
    """The text of the last prompt, special tokens left out."""
    return bytes(t for t in engine.requests[-1].token_ids if t < 256).decode()


def refusal(client: TestClient, **fields: object) -> dict[str, Any]:
    response = client.post(URL, json=body(**fields))
    assert response.status_code == 400, response.text
    error: dict[str, Any] = response.json()["error"]
    assert f"'{error['param']}'" in error["message"]
    return error


def test_a_thought_is_no_content(client: TestClient, engine: ScriptedEngine) -> None:
    says(engine, THOUGHT)
    choice = answered(client, body())
    message: dict[str, object] = {
        "role": "assistant",
        "content": "Hello.",
        "refusal": None,
        "reasoning_content": "Hm.",
    }
    whole = {**message, "annotations": []}
    assert choice == {"index": 0, "message": whole, "logprobs": None, "finish_reason": "stop"}
    sent = chunks(client.post(URL, json=body(stream=True)).text)
    assert folded(sent) == {"message": message, "finish_reason": "stop"}


def test_reasoning_tokens_are_counted(client: TestClient, engine: ScriptedEngine) -> None:
    engine.num_reasoning_tokens = 2
    says(engine, THOUGHT)
    usage = client.post(URL, json=body(n=3)).json()["usage"]
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 6


def test_a_thought_stays_in_the_content_if_asked(client: TestClient, engine: ScriptedEngine) -> None:
    says(engine, THOUGHT)
    assert answered(client, body(reasoning_format="none"))["message"]["content"] == THOUGHT
    says(engine, "<think>Hm.</think>Well." + hermes("get_weather", '{"city": "Rome"}'))
    message = answered(client, body(reasoning_format="none", tools=[WEATHER]))["message"]
    assert message["content"] == "<think>Hm.</think>Well."
    assert "reasoning_content" not in message
    assert message["tool_calls"]
    for same in ("auto", "deepseek", None):
        says(engine, THOUGHT)
        assert answered(client, body(reasoning_format=same))["message"]["reasoning_content"] == "Hm."


def test_a_prompt_may_have_opened_the_thought(engine: ScriptedEngine) -> None:
    says(engine, "Hm.\n</think>\n\nHello.")
    with app_over(engine, ALWAYS) as client:
        message = answered(client, body())["message"]
        assert (message["reasoning_content"], message["content"]) == ("Hm.", "Hello.")
        reasoning = engine.requests[0].reasoning
        assert reasoning is not None
        assert reasoning.is_open
        assert reasoning.budget is None
        assert bytes(reasoning.end_token_ids) == b"\n</think>\n\n"


def test_thinking_is_switched_by_the_templates_own_variable(
    client: TestClient, engine: ScriptedEngine
) -> None:
    says(engine, "Hello.")
    for fields in (
        {"chat_template_kwargs": {"enable_thinking": False}},
        {"reasoning_effort": "none"},
        {"reasoning_effort": "minimal"},
    ):
        answered(client, body(**fields))
        assert prompt(engine).endswith("<think></think>")
        assert engine.requests[-1].reasoning is None
    for fields in ({}, {"chat_template_kwargs": {"enable_thinking": True}}, {"reasoning_effort": "high"}):
        answered(client, body(**fields))
        assert not prompt(engine).endswith("</think>")
        assert engine.requests[-1].reasoning is not None


def test_a_model_that_always_thinks_is_cut_short(engine: ScriptedEngine) -> None:
    says(engine, "</think>Hello.")
    with app_over(engine, ALWAYS) as client:
        for effort, budget in (("none", 0), ("minimal", 0), ("low", None), ("max", None)):
            answered(client, body(reasoning_effort=effort))
            reasoning = engine.requests[-1].reasoning
            assert reasoning is not None
            assert reasoning.budget == budget


def test_templates_that_know_efforts_are_told(engine: ScriptedEngine) -> None:
    says(engine, "Hello.")
    with app_over(engine, EFFORT) as client:
        answered(client, body(reasoning_effort="xhigh"))
        assert prompt(engine).endswith("[xhigh]")
        answered(client, body(chat_template_kwargs={"reasoning_effort": "low"}))
        assert prompt(engine).endswith("[low]")
        error = refusal(client, reasoning_effort="high", chat_template_kwargs={"reasoning_effort": "low"})
        assert error["param"] == "reasoning_effort"


def test_the_budget_reaches_the_engine(client: TestClient, engine: ScriptedEngine) -> None:
    says(engine, THOUGHT)
    answered(client, body(thinking_budget_tokens=0))
    reasoning = engine.requests[0].reasoning
    assert reasoning is not None
    assert (reasoning.start, reasoning.end, reasoning.budget) == ("<think>", "</think>", 0)
    off = {"enable_thinking": False}
    answered(client, body(thinking_budget_tokens=0, chat_template_kwargs=off))
    error = refusal(client, thinking_budget_tokens=5, chat_template_kwargs=off)
    assert error["param"] == "thinking_budget_tokens"


def test_what_a_model_cannot_do_is_refused_by_name(engine: ScriptedEngine) -> None:
    says(engine, "Hello.")
    with app_over(engine, THOUGHTLESS) as client:
        assert refusal(client, reasoning_effort="low")["param"] == "reasoning_effort"
        assert refusal(client, thinking_budget_tokens=1)["param"] == "thinking_budget_tokens"
        param = "chat_template_kwargs.enable_thinking"
        assert refusal(client, chat_template_kwargs={"enable_thinking": True})["param"] == param
        for fields in (
            {"reasoning_effort": "none"},
            {"chat_template_kwargs": {"enable_thinking": False}},
            {"reasoning_format": "auto"},
        ):
            answered(client, body(**fields))


@pytest.mark.parametrize("name", ["messages", "tools", "custom_tools", "bos_token", "add_generation_prompt"])
def test_a_template_variable_cannot_stand_in_for_a_field(client: TestClient, name: str) -> None:
    assert refusal(client, chat_template_kwargs={name: []})["param"] == f"chat_template_kwargs.{name}"


def test_contradictions_and_unknown_words_are_refused(client: TestClient) -> None:
    error = refusal(client, reasoning_effort="none", chat_template_kwargs={"enable_thinking": True})
    assert error["param"] == "reasoning_effort"
    assert refusal(client, reasoning_format="hidden")["code"] == "unsupported_parameter"
    error = refusal(client, chat_template_kwargs={"enable_thinkin": True})
    assert error["code"] == "unknown_parameter"
    assert "'enable_thinking'" in error["message"]


def continued(*messages: dict[str, object], **fields: object) -> dict[str, Any]:
    return body(
        messages=[{"role": "user", "content": "Hi"}, *messages], continue_final_message=True, **fields
    )


def test_an_answer_goes_on_where_it_broke_off(client: TestClient, engine: ScriptedEngine) -> None:
    says(engine, "world.")
    answered(client, continued({"role": "assistant", "content": "Hello, "}))
    assert prompt(engine).endswith("assistant\nHello, ")
    assert engine.requests[0].reasoning is None
    answered(client, continued({"role": "assistant", "content": "Hello, "}, add_generation_prompt=False))
    trimming = HERMES.replace("m.content or ''", "(m.content or '') | trim")
    with app_over(engine, trimming) as other:
        answered(other, continued({"role": "assistant", "content": "Hello, "}))
        assert prompt(engine).endswith("assistant\nHello, ")


def test_without_a_generation_prompt_the_prompt_ends_with_the_last_message(
    client: TestClient, engine: ScriptedEngine
) -> None:
    says(engine, "x")
    answered(client, body(add_generation_prompt=False))
    assert prompt(engine).endswith("user\nHi\n")


@pytest.mark.parametrize(
    ("request_body", "param"),
    [
        (continued(), "continue_final_message"),
        (continued({"role": "assistant", "refusal": "no"}), "continue_final_message"),
        (
            continued({"role": "assistant", "content": "x"}, add_generation_prompt=True),
            "add_generation_prompt",
        ),
    ],
)
def test_what_cannot_be_continued_is_refused(
    client: TestClient, request_body: dict[str, Any], param: str
) -> None:
    response = client.post(URL, json=request_body)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


def test_a_template_that_hides_the_message_cannot_continue_it(engine: ScriptedEngine) -> None:
    with app_over(engine, "{{ messages[0].content }}") as client:
        response = client.post(URL, json=continued({"role": "assistant", "content": "x"}))
        assert response.json()["error"]["param"] == "continue_final_message"
