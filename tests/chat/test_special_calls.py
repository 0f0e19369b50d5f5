"""Calls that templates show in a shape of their own: code, built-in tools, and the tool that is none."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from caravan.chat.families import ModelFamily
from caravan.chat.tool_formats.registry import FORMATS
from caravan.chat.tool_formats.tool_spec import ToolSpec, custom_tool

from tests.chat.test_tool_grammars import accepts
from tests.chat.transcripts import Answer, joined, parsed

TEXT = {"type": "string", "description": "Some text."}


def tool(name: str, *required: str, **properties: object) -> ToolSpec:
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return ToolSpec(name, schema)


NOW = tool("now")
SEARCH = tool("brave_search", "query", query=TEXT)
PYTHON = tool("python", "code", code=TEXT, title=TEXT)
TOOLS = [NOW, SEARCH, PYTHON]
CODE = 'print("{\\"a\\": 1}", [1], \'é\')\n# <function=now>\nx = """\n"""'

READ: list[tuple[str, str, list[tuple[str, dict[str, Any]]]]] = [
    ("functionary_v31", f"<|python_tag|>{CODE}", [("python", {"code": CODE})]),
    ("functionary_v31", '<|python_tag|>{"code": "x = 1"}', [("python", {"code": "x = 1"})]),
    ("functionary_v31", '<|python_tag|>"x = \\"1\\""', [("python", {"code": 'x = "1"'})]),
    ("functionary_v31", "<function=python>{}</function>", [("python", {})]),
    (
        "functionary_v31",
        "<function=now>{}</function><|python_tag|>x = 1",
        [("now", {}), ("python", {"code": "x = 1"})],
    ),
    ("functionary_v3", f"python\n{CODE}", [("python", {"code": CODE})]),
    ("functionary_v3", 'python\n{"code": "x = 1"}', [("python", {"code": "x = 1"})]),
    ("functionary_v3", "now\n{}>>>python\nx = 1", [("now", {}), ("python", {"code": "x = 1"})]),
    ("llama3_json", f"<|python_tag|>{CODE}", [("python", {"code": CODE})]),
    (
        "llama3_json",
        '<|python_tag|>brave_search.call(query="bees, (and) wasps")',
        [("brave_search", {"query": "bees, (and) wasps"})],
    ),
    (
        "llama3_json",
        '<|python_tag|>python.call(code="a", title="b")',
        [("python", {"code": "a", "title": "b"})],
    ),
    ("llama3_json", '<|python_tag|>{"name": "now", "parameters": {}}', [("now", {})]),
    ("llama3_json", '<|python_tag|>[{"name": "now", "parameters": {}}]', [("now", {})]),
]
# A mark is left out, by the models or by what templates tell them.
FORGOTTEN: list[tuple[str, str, list[tuple[str, dict[str, Any]]]]] = [
    (
        "qwen_coder",
        "<function=brave_search>\n<parameter=query>\nbees\n</parameter>\n</function>\n</tool_call>",
        [("brave_search", {"query": "bees"})],
    ),
    (
        "qwen_coder",
        "<function=now>\n</function>\n</tool_call>\n<tool_call>\n<function=now>\n</function>\n</tool_call>",
        [("now", {}), ("now", {})],
    ),
    (
        "solar",
        "<|tool_call:begin|>a1b2c3d4e5<|tool_call:name|>now<|tool_call:args|>{}<|tool_call:end|>",
        [("now", {})],
    ),
]
# Templates put quotes around texts, whatever is in them.
LOOSE = [
    (
        "llama3_json",
        '<|python_tag|>brave_search.call(query="say "it"")',
        [("brave_search", {"query": 'say "it"'})],
    )
]


def read(form: str, text: str, tools: Sequence[ToolSpec] = TOOLS, *, bound: bool, size: int) -> Answer:
    parser = ModelFamily(None, FORMATS[form]).parser(tools, bound=bound)
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    return joined([event for piece in pieces for event in parser.feed(piece)] + parser.finish())


@pytest.mark.parametrize("bound", [False, True])
@pytest.mark.parametrize(
    ("form", "text", "calls"), [*READ, *LOOSE, *FORGOTTEN], ids=lambda value: str(value)[:50]
)
def test_they_are_read(form: str, text: str, calls: list[tuple[str, dict[str, Any]]], *, bound: bool) -> None:
    for size in (1, 3, 1000):
        answer = read(form, text, bound=bound, size=size)
        assert [(name, json.loads(arguments)) for name, _, arguments in answer.calls] == calls
        assert answer.content == ""


@pytest.mark.parametrize(
    ("form", "text"), [(form, text) for form, text, _ in [*READ, *FORGOTTEN]], ids=lambda v: str(v)[:50]
)
def test_grammars_let_models_write_them(form: str, text: str) -> None:
    is_quoted = '<|python_tag|>"' in text
    grammar = FORMATS[form].grammar(TOOLS, parallel=True, is_free=True)
    assert accepts(grammar, text) or is_quoted or "<function=python>{}" in text


def test_code_streams_as_it_comes() -> None:
    parser = ModelFamily(None, FORMATS["llama3_json"]).parser(TOOLS, bound=True)
    first = joined([*parser.feed("<|python_tag|>import a"), *parser.feed("\nb")])
    assert first.calls == [("python", None, '{"code": "import a\\nb')]


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("functionary_v31", "<|python_tag|>x = 1"),
        ("llama3_json", "<|python_tag|>x = 1"),
        ("llama3_json", "<|python_tag|>clock.call()"),
        ("functionary_v3", "python\nx = 1"),
    ],
)
def test_what_no_tool_is_there_for_is_no_call(form: str, text: str) -> None:
    answer = read(form, text, [NOW, SEARCH], bound=False, size=4)
    assert answer.calls == []
    assert answer.content == text


THOUGHT = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant"
PYTHONS = [
    f"{THOUGHT}<|channel|>analysis to=python code<|message|>{CODE}<|call|>",
    f"{THOUGHT}<|channel|>commentary to=python code<|message|>{CODE}",
    f"{THOUGHT} to=python<|channel|>analysis code<|message|>{CODE}<|call|>",
]


@pytest.mark.parametrize("text", PYTHONS)
def test_the_tool_that_gpt_oss_knows_of_itself_is_the_one_that_is_offered(text: str) -> None:
    for bound in (False, True):
        answer = read("harmony", text, bound=bound, size=3)
        assert [(name, json.loads(found)) for name, _, found in answer.calls] == [("python", {"code": CODE})]
        assert (answer.reasoning, answer.content) == ("Hm.", "")
    first = text.rpartition("<|start|>assistant")[2]
    assert [name for name, _, _ in read("harmony", first, bound=True, size=3).calls] == ["python"]
    # Nobody offers it: a thought, or text, as before.
    assert read("harmony", text, [NOW], bound=True, size=3).calls == []


UNFIT = [
    tool("python", "code", "limit", code=TEXT, limit={"type": "integer"}),
    tool("python", "a", "b", a=TEXT, b=TEXT),
    tool("python", "code", code={"type": "string", "maxLength": 9}),
    tool("python", "code", code={"type": "integer"}),
    custom_tool("python", grammar='start: "a"'),
    NOW,
]


@pytest.mark.parametrize("unfit", UNFIT, ids=str)
@pytest.mark.parametrize("form", ["functionary_v31", "llama3_json", "functionary_v3"])
def test_code_is_no_call_of_a_tool_that_asks_for_more(form: str, unfit: ToolSpec) -> None:
    text = "python\nx = 1" if form == "functionary_v3" else "<|python_tag|>x = 1"
    assert not read(form, text, [unfit], bound=False, size=100).calls
    assert not accepts(FORMATS[form].grammar([unfit], parallel=True, is_free=True), text)


def test_a_custom_tool_may_run_python() -> None:
    for form in ("functionary_v31", "llama3_json"):
        answer = read(form, "<|python_tag|>x = 1", [custom_tool("python")], bound=True, size=2)
        assert answer.calls == [("python", None, '{"input": "x = 1"}')]


FIND = 'Action:\n```json\n[\n    {\n        "tool_name": "now",\n        "parameters": {}\n    }\n]```'
DIRECTLY = FIND.replace("now", "directly-answer")


def test_to_answer_directly_leads_to_an_answer() -> None:
    form = FORMATS["command_r"]
    free = form.grammar(TOOLS, parallel=True, is_free=True)
    for action in (DIRECTLY, DIRECTLY.replace("y-a", "y_a"), DIRECTLY.replace("Action:\n", "Action: ")):
        assert accepts(free, f"{action}\nAnswer: It is noon.")
        # Without one, the model has not come to its end.
        assert not accepts(free, action)
        assert not accepts(free, f"{action}\nAnswer: I look.\n{FIND}")
        assert not accepts(form.grammar(TOOLS, parallel=True), f"{action}\nAnswer: It is noon.")
        for bound in (False, True):
            answer = read("command_r", f"Plan: none.\n{action}\nAnswer: It is noon.", bound=bound, size=3)
            assert (answer.content, answer.calls) == ("Plan: none.It is noon.", [])
    assert accepts(free, FIND)
    real = tool("directly_answer")
    answer = read("command_r", DIRECTLY.replace("y-a", "y_a"), [real], bound=True, size=3)
    assert [name for name, _, _ in answer.calls] == ["directly_answer"]


def test_apriel_has_two_words_for_its_marks() -> None:
    text = 'I look.\n<tool_call>[{"name": "now", "arguments": {}}]</tool_call>'
    for bound in (False, True):
        answer = read("apriel", text, bound=bound, size=3)
        assert (answer.content, answer.calls) == ("I look.", [("now", None, "{}")])


GENERIC = ModelFamily(None, FORMATS["generic"])


@pytest.mark.parametrize("size", [1, 1000])
def test_text_that_was_chosen_has_no_calls(size: int) -> None:
    text = '{"response": "text"}\nSee {"tool_calls": [{"name": "dance", "arguments": {}}]} {'
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    answer = parsed(GENERIC, pieces, bound=True)
    assert (answer.content, answer.calls) == (text.partition("\n")[2], [])


@pytest.mark.parametrize("text", ['{"response": "text"}', '{"tool_calls": '])
def test_a_part_of_the_choice_is_no_text(text: str) -> None:
    for end in range(len(text) + 1):
        assert parsed(GENERIC, [text[:end]], bound=True).content == ""
    # What goes on with an answer may end like one.
    assert parsed(GENERIC, ["So {"], bound=True).content == "So {"
