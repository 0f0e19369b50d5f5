"""Beginnings of answers that are calls, told from all other texts as soon as that is possible."""

import pytest
from caravan.chat.tool_formats.registry import FORMATS
from caravan.chat.tool_formats.tool_spec import ToolSpec
from caravan.grammars.call_prefix import CallPrefix
from hypothesis import given
from hypothesis import strategies as st

TOOLS = [ToolSpec("get"), ToolSpec("get_weather")]
YES = {
    "json": [
        '{"name": "get"',
        '{"name":"get_weather", "arguments"',
        '{\n  "name" : "get"}',
        '```json\n{"name": "get"',
        '```[ {"name": "get"',
        '[{"name": "get"',
        '{"type": "function", "name": "get"',
    ],
    "llama3_json": ['{"name": "get"', '{"type":"function","name":"get_weather"'],
    "pythonic": ["[get(", "[\n get_weather(city"],
    "functionary_v3": ["get\n", "get_weather\n{"],
}
NO = {
    "json": ["Hello", "{}", '{"name": "John"', '{"name": "gets"', '{"names', "[1", "```python", '[[{"name"'],
    "llama3_json": ['{"type": "object"', '<|python_tag|>{"name": "get"', '{"parameters"', "{" + " " * 41],
    "pythonic": ["[gets(", "[1, 2]", "[link](url)", "get(", "<|python_start|>[get("],
    "functionary_v3": ["gets\n", "all\n", "get the weather", ">>>get\n"],
}


def beginning(form: str) -> CallPrefix:
    found = FORMATS[form].beginning(TOOLS)
    assert found is not None
    return found


@pytest.mark.parametrize(("form", "text"), [(form, text) for form in YES for text in YES[form]])
def test_what_begins_a_call(form: str, text: str) -> None:
    verdicts = [beginning(form).stands_in(text[:size]) for size in range(len(text) + 1)]
    assert verdicts[0] is None
    assert verdicts[-1] is True
    assert False not in verdicts
    assert verdicts == sorted(verdicts, key=bool)


@pytest.mark.parametrize(("form", "text"), [(form, text) for form in NO for text in NO[form]])
def test_what_begins_none(form: str, text: str) -> None:
    assert beginning(form).stands_in(text) is False


@given(st.sampled_from(sorted(YES)), st.text('{}[]`"nametypf:, (\ng', max_size=12), st.text(max_size=3))
def test_a_verdict_is_final(form: str, text: str, more: str) -> None:
    verdict = beginning(form).stands_in(text)
    assert verdict is None or beginning(form).stands_in(text + more) is verdict


def test_formats_with_a_marker_have_none() -> None:
    assert {name for name, form in FORMATS.items() if form.beginning(TOOLS)} == set(YES)
    assert {name for name, form in FORMATS.items() if form.is_bare} == set(YES)
