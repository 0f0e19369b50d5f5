"""The real chat templates: the calls that they show, read as a model's answer, are the same calls."""

import json
from typing import Any

import pytest
from caravan.chat.families import recognise
from caravan.chat.tool_formats.tool_spec import ToolSpec
from caravan_schemas.chat import ConversationFields

from tests.chat.transcripts import joined
from tests.real import template_models

NAMES = template_models.names()
TEXT = {"type": "string", "description": "Some text."}
SEARCH = {
    "type": "object",
    "properties": {
        "query": TEXT,
        "limit": {"type": "integer", "description": "At most so many."},
        "ratio": {"type": "number", "description": "A ratio."},
        "exact": {"type": "boolean", "description": "Exactly so."},
        "tags": {"type": "array", "items": TEXT, "description": "Some tags."},
        "level": {"type": ["string", "null"], "description": "A level, or none."},
        "filters": {
            "type": "object",
            "properties": {"site": TEXT, "after": {"type": "integer", "description": "A year."}},
            "description": "Some filters.",
        },
    },
    "required": ["query"],
}
NOTHING: dict[str, Any] = {"type": "object", "properties": {}, "required": []}
SPECS = [ToolSpec("find_pages", SEARCH), ToolSpec("show_clock", NOTHING)]
TOOLS = [
    {
        "type": "function",
        "function": {"name": spec.name, "description": "A tool.", "parameters": spec.parameters},
    }
    for spec in SPECS
]
Call = tuple[str, dict[str, Any]]
SHAPES: dict[str, list[Call]] = {
    "one": [("find_pages", {"query": "bees"})],
    "nothing": [("show_clock", {})],
    "quotes": [("find_pages", {"query": "say \"it\", 'so' or \\so"})],
    "lines": [("find_pages", {"query": "one\ntwo\n\n  three"})],
    "unicode": [("find_pages", {"query": "Zürich 日本 🦙"})],
    "angles": [("find_pages", {"query": "if a < b && b > c: <b>x</b>"})],
    "brackets": [("find_pages", {"query": "f(x)[0] = {y: 1}, z"})],
    "like a number": [("find_pages", {"query": "5"})],
    "like a constant": [("find_pages", {"query": "true"})],
    "empty text": [("find_pages", {"query": ""})],
    "numbers": [("find_pages", {"query": "x", "limit": -7, "ratio": 2.5})],
    "constants": [
        ("find_pages", {"query": "x", "exact": True}),
        ("find_pages", {"query": "y", "exact": False}),
    ],
    "null": [("find_pages", {"query": "x", "level": None})],
    "a list": [("find_pages", {"query": "x", "tags": ["a", "b c"]})],
    "nested": [("find_pages", {"query": "x", "filters": {"site": "a.b", "after": 2020}, "limit": 1})],
    "two tools": [("find_pages", {"query": "bees"}), ("show_clock", {})],
    "two alike": [("find_pages", {"query": "bees", "limit": 1}), ("find_pages", {"query": "wasps"})],
}
# By its own words, it leaves such arguments out.
OMITS_NULL = {"MiniMax-M3"}


def conversation(calls: list[Call]) -> ConversationFields:
    """A question, the calls, and their results."""
    entries = [
        {
            "id": f"abcdefgh{number}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)},
        }
        for number, (name, arguments) in enumerate(calls)
    ]
    results = [
        {"role": "tool", "tool_call_id": f"abcdefgh{number}", "content": f"RESULT{number}"}
        for number in range(len(calls))
    ]
    asked: dict[str, Any] = {"role": "user", "content": "QUESTION"}
    answer: list[dict[str, Any]] = [{"role": "assistant", "content": None, "tool_calls": entries}]
    return ConversationFields.model_validate(
        {"messages": [asked, *(answer if calls else []), *results], "tools": TOOLS}
    )


def answers(name: str, calls: list[Call]) -> list[tuple[str, bool]]:
    """What the template writes of the calls, and whether it begins inside a thought.

    All of them come before the first result, or one before each.
    """
    family = template_models.model(name).family
    opening = template_models.prompt(name, conversation([])).rpartition("QUESTION")[2]
    # Where the prompt opens a thought, the history may have none.
    openings = [opening, opening.partition(family.reasoning.start)[0] if family.reasoning else opening]
    text = template_models.prompt(name, conversation(calls)).rpartition("QUESTION")[2]
    found = []
    for number in range(len(calls)):
        before, _, text = text.partition(f"RESULT{number}")
        begun = next((head for head in openings if head in before), "")
        found.append((before.rpartition(begun)[2] if begun else before, family.is_open(begun)))
    return found


def read(name: str, calls: list[Call]) -> list[Call]:
    """The calls that the parser finds."""
    found: list[Call] = []
    for text, is_open in answers(name, calls):
        parser = template_models.model(name).family.parser(SPECS, is_open=is_open)
        answer = joined([*parser.feed(text), *parser.finish()])
        found += [(tool, json.loads(arguments)) for tool, _, arguments in answer.calls]
    return found


@pytest.mark.parametrize("shape", SHAPES)
def test_the_calls_that_are_shown_are_the_calls_that_are_read(shape: str) -> None:
    wrong = []
    for name in NAMES:
        expected = SHAPES[shape]
        if name in OMITS_NULL:
            expected = [
                (tool, {key: value for key, value in arguments.items() if value is not None})
                for tool, arguments in expected
            ]
        if read(name, SHAPES[shape]) != expected:
            wrong.append(name)
    assert wrong == []


def test_no_format_of_a_template_with_a_place_for_tools_is_a_guess() -> None:
    sources = {name: template_models.source(name) for name in NAMES}
    with_tools = {name: source for name, source in sources.items() if "tools" in source}
    assert len(with_tools) == 63
    assert [name for name, source in with_tools.items() if recognise(source).is_guess] == []
