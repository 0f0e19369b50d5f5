"""Calls as text, in the way in which each format's models write them."""

import json

import pytest
from caravan.chat.families import ModelFamily
from caravan.chat.rendering.turns import Call
from caravan.chat.tool_formats.base import ToolFormat
from caravan.chat.tool_formats.call_style import call_text_of, with_calls
from caravan.chat.tool_formats.registry import (
    COHERE,
    DEEPSEEK_V3,
    DEEPSEEK_V31,
    GRANITE,
    HERMES,
    LFM2,
    MISTRAL,
)
from caravan.chat.tool_formats.tool_spec import ToolSpec

from tests.chat.transcripts import joined

CALLS = [
    Call("1", "get_weather", {"city": 'Oslo "é"', "days": [1, 2.5, None, True], "more": {"a": False}}),
    Call("2", "get_time", {}),
]
TOOLS = [ToolSpec("get_weather"), ToolSpec("get_time")]


@pytest.mark.parametrize(
    "form", [HERMES, GRANITE, COHERE, LFM2, DEEPSEEK_V3, DEEPSEEK_V31], ids=lambda form: form.name
)
def test_what_is_written_is_read_as_the_calls(form: ToolFormat) -> None:
    """The format's own parser reads back what a template without calls is given."""
    parser = ModelFamily(form.name, None, form).parser(TOOLS)
    answer = joined([*parser.feed(call_text_of(form).write(CALLS)), *parser.finish()])
    read = [(name, json.loads(arguments)) for name, _, arguments in answer.calls]
    assert read == [(call.name, call.arguments) for call in CALLS]
    assert answer.content.strip() == ""


def test_a_family_without_calls_is_given_the_commonest_as_a_guess() -> None:
    plain = ModelFamily("plain")
    assert (with_calls(plain).tools, with_calls(plain).is_guess) == (HERMES, True)
    known = ModelFamily("mistral", None, MISTRAL)
    assert with_calls(known) is known
