"""Calls as text, in the way in which each format's models write them."""

import json

import pytest
from caravan.chat.families import ModelFamily, recognise, with_shown_calls
from caravan.chat.rendering.local import LocalTemplate
from caravan.chat.rendering.turns import Call
from caravan.chat.tool_formats.registry import FORMATS
from caravan.chat.tool_formats.tool_spec import ToolSpec

from tests.chat.transcripts import joined

CALLS = [
    Call("1", "get_weather", {"city": 'Oslo "é"', "days": [1, 2.5, None, True], "more": {"a": False}}),
    Call("2", "get_time", {}),
]
TOOLS = [ToolSpec("get_weather"), ToolSpec("get_time")]


@pytest.mark.parametrize(
    "name", ["generic", "hermes", "granite", "cohere", "apertus", "lfm2", "deepseek_v3", "deepseek_v31"]
)
def test_what_is_written_is_read_as_the_calls(name: str) -> None:
    """The format's own parser reads back what a template without calls is given."""
    parser = ModelFamily(None, FORMATS[name]).parser(TOOLS)
    answer = joined([*parser.feed(FORMATS[name].call_text().write(CALLS)), *parser.finish()])
    read = [(name, json.loads(arguments)) for name, _, arguments in answer.calls]
    assert read == [(call.name, call.arguments) for call in CALLS]
    assert answer.content.strip() == ""


def test_what_a_tool_says_is_shown_as_it_is() -> None:
    tool = {"name": "f", "description": "Fill {tools} and {example}."}
    for name in ("generic", "hermes"):
        assert json.dumps(tool) in FORMATS[name].call_text().introduce([tool])


def test_a_template_without_a_place_for_tools_leaves_nothing_to_guess() -> None:
    source = "{{ messages[0].content }}"
    family = with_shown_calls(recognise(source), LocalTemplate(source))
    assert (family.tools, family.is_guess) == (FORMATS["generic"], False)
    named = recognise(source, "hermes")
    assert with_shown_calls(named, LocalTemplate(source)) is named
