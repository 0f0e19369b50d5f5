"""The real chat templates: all that is said reaches the prompt, in the order in which it is said."""

from collections.abc import Sequence
from typing import Any

import pytest
from caravan.api.prompt.tools import tool_request
from caravan.chat.messages import normalize
from caravan.chat.rendering.adaptation import adapt
from caravan.chat.rendering.call_text import CallText
from caravan.chat.rendering.client import TemplateProcess
from caravan.chat.rendering.template import ChatTemplate
from caravan.chat.rendering.traits import Instructions
from caravan.chat.rendering.turns import Conversation
from caravan.errors import InvalidRequestError
from caravan_schemas.chat import ConversationFields

from tests.real import template_models
from tests.real.matrix import outcome, table
from tests.real.shapes import PLAIN_SHAPES, SHAPES

NAMES = template_models.names()
USER, ANSWER, SYSTEM = (
    {"role": role, "content": f"Some words of the {role}."} for role in ("user", "assistant", "system")
)
MORE = {"role": "user", "content": "Other words."}
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "The city."}},
            "required": ["city"],
        },
    },
}
# As templates are given messages by others: arguments are objects there.
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {
            "id": "abcdef123",
            "type": "function",
            "function": {"name": "get_weather", "arguments": {"city": "Oslo"}},
        }
    ],
}
RESULT = {"role": "tool", "tool_call_id": "abcdef123", "name": "get_weather", "content": "Two degrees."}
# Messages, tools, and how many templates show them all by themselves.
ORDINARY: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]] | None, int]] = {
    "a question": ([USER], None, 66),
    "turns": ([USER, ANSWER, MORE], None, 66),
    "a system message": ([SYSTEM, USER], None, 65),
    "a system message and turns": ([SYSTEM, USER, ANSWER, MORE], None, 65),
    "tools": ([USER], [TOOL], 62),
    "a call": ([USER, CALL, RESULT], [TOOL], 50),
    "a call and an answer": ([SYSTEM, USER, CALL, RESULT, ANSWER, MORE], [TOOL], 50),
}


@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_is_said_is_lost(name: str) -> None:
    """Each shape is shown whole, by all of them; were one refused, it would have to be by name."""
    assert {shape.name: outcome(name, shape) for shape in SHAPES} == dict.fromkeys(
        (shape.name for shape in SHAPES), "yes"
    )


def test_the_matrix_has_all_templates_and_shapes() -> None:
    assert len(NAMES) == 70
    assert len(SHAPES) >= 33
    assert table(PLAIN_SHAPES).endswith("70 of 70 take all 6 shapes")


def ordinary(messages: Sequence[dict[str, Any]], tools: list[dict[str, Any]] | None) -> ConversationFields:
    """The request that OpenAI's SDK sends for such messages."""
    sent = []
    for message in messages:
        calls = message.get("tool_calls")
        if calls is not None:
            function = {"name": "get_weather", "arguments": '{"city": "Oslo"}'}
            message = {**message, "tool_calls": [{**calls[0], "function": function}]}
        sent.append(message)
    return ConversationFields.model_validate({"messages": sent, "tools": tools})


def untouched(name: str, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> str | None:
    """What the template makes of the messages by itself; None where that fails, or hides something."""
    text, tokens = (
        template_models.source(name),
        {"bos_token": template_models.BOS, "eos_token": template_models.EOS},
    )
    try:
        prompt = ChatTemplate(text, **tokens).render(messages, tools=tools)
    except InvalidRequestError:
        return None
    said = [message["content"] or "Oslo" for message in messages]
    return (
        prompt if all(text in prompt for text in (*said, *(["Get the weather."] if tools else []))) else None
    )


@pytest.mark.parametrize("kind", ORDINARY)
def test_ordinary_messages_give_what_the_template_gives_by_itself(kind: str) -> None:
    """A template that writes Python's word for null is held to what it makes of an empty content."""
    messages, tools, fewest = ORDINARY[kind]
    emptied = [message | {"content": message["content"] or ""} for message in messages]
    compared = 0
    for name in NAMES:
        expected, other = (untouched(name, variant, tools) for variant in (messages, emptied))
        if expected is not None and other is not None and expected.count("None") > other.count("None"):
            expected = other
        if expected is not None:
            compared += 1
            assert template_models.prompt(name, ordinary(messages, tools)) == expected, name
    assert compared >= fewest


@pytest.mark.parametrize("name", NAMES)
def test_a_conversation_that_goes_on_keeps_its_beginning(name: str) -> None:
    """Prompts are found in memory by their beginnings, so no adaptation may look ahead."""
    traits = template_models.model(name).template.traits
    if traits.system is Instructions.LAST_USER:
        pytest.skip("the template itself moves the system message")
    for shape in SHAPES:
        turns, tools = normalize(shape.request.messages), shape.body.get("tools")
        whole = adapt(Conversation(turns, tools), traits, CallText())
        for end in range(1, len(turns)):
            is_asked = turns[end - 1].role in ("user", "tool") and turns[end].role == "assistant"
            if is_asked and any(turn.role == "user" for turn in turns[:end]):
                part = adapt(Conversation(turns[:end], tools), traits, CallText())
                assert whole[: len(part)] == part, shape.name


@pytest.mark.parametrize("name", NAMES)
def test_a_process_writes_the_same(name: str) -> None:
    """What crosses the border comes out as it went in."""
    local = template_models.model(name).template
    remote = TemplateProcess(
        template_models.source(name),
        bos_token=template_models.BOS,
        eos_token=template_models.EOS,
        call_text=template_models.model(name).family.tools.call_text(),
    )
    try:
        assert (remote.traits, remote.variables) == (local.traits, local.variables)
        for shape in SHAPES:
            tools = tool_request(shape.request)
            shown = None if tools is None else [tool.shown() for tool in tools.offered]
            conversation = Conversation(normalize(shape.request.messages), shown)
            assert remote.write(conversation) == local.write(conversation), shape.name
    finally:
        remote.close()
