"""The input of custom tools that a grammar in Lark binds, in all formats: written, read, and compared."""

import json
from dataclasses import replace

import pytest
from caravan.chat.parsing.custom_input import CustomInput
from caravan.chat.tool_formats.registry import FORMATS
from caravan.chat.tool_formats.tool_spec import ToolSpec, custom_tool
from caravan.grammars.compiler import GrammarCompiler

from tests.chat.test_tool_grammars import accepts, read, walked
from tests.custom_grammars import APPLY_PATCH, ARITHMETIC, COMPLEMENTS, EXAMPLES, OUTSIDE

# What ends something in one of the formats.
MARKS = """
start: PART*
PART: "</parameter>" | "</arg_value>" | "<escape>" | "<|\\"|>" | "</tool_call>" | "\\"}\\n" | OTHER
OTHER: "\\\\" | "a" | "\\n"
"""
MARKED = ['</parameter>a\n</parameter>\n"}\n', 'a<escape><|"|>\\\n</arg_value></tool_call>a', "\\\\"]


def bound(grammar: str) -> ToolSpec:
    rules = GrammarCompiler().quoted_rules(grammar)
    return replace(custom_tool("edit", grammar=grammar), input_rules=rules)


def texts_of_input(form: str, spec: ToolSpec, text: str) -> list[str]:
    """The input of each call in an answer."""
    answer = read(form, text, [spec])
    assert answer.content == ""
    return [CustomInput().feed(arguments) for _, _, arguments in answer.calls]


@pytest.mark.parametrize("form", FORMATS)
def test_all_that_can_be_written_satisfies_the_grammar(form: str) -> None:
    for grammar in (ARITHMETIC, COMPLEMENTS):
        spec = bound(grammar)
        for seed in range(3):
            text = walked(FORMATS[form].grammar([spec], parallel=seed == 0), seed, 60)
            for found in texts_of_input(form, spec, text):
                assert accepts(grammar, found), found


@pytest.mark.parametrize("is_free", [False, True])
@pytest.mark.parametrize("form", FORMATS)
def test_all_that_satisfies_the_grammar_can_be_written(form: str, is_free: bool) -> None:
    for grammar, examples in {**EXAMPLES, MARKS: MARKED}.items():
        spec = bound(grammar)
        rules = FORMATS[form].grammar([spec], parallel=False, is_free=is_free)
        call = walked(FORMATS[form].grammar([bound('start: "A place"')], parallel=False), 1)
        assert call.count('"A place"') == 1
        for example in examples:
            text = call.replace('"A place"', json.dumps(example, ensure_ascii=False))
            assert accepts(rules, text), text
            assert texts_of_input(form, spec, text) == [example]
        for other in OUTSIDE.get(grammar, []):
            assert not accepts(rules, call.replace('"A place"', json.dumps(other, ensure_ascii=False)))


@pytest.mark.parametrize("form", FORMATS)
def test_other_tools_beside_it_are_as_ever(form: str) -> None:
    plain = ToolSpec("plain", {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})
    rules = FORMATS[form].grammar([bound(APPLY_PATCH), plain, custom_tool("text")], parallel=True)
    for other in (plain, custom_tool("text")):
        for seed in range(3):
            assert accepts(rules, walked(FORMATS[form].grammar([other], parallel=False), seed, 50))


def test_models_are_shown_the_grammar() -> None:
    parameters = json.dumps(custom_tool("edit", grammar=ARITHMETIC).parameters)
    assert json.dumps(ARITHMETIC)[1:-1] in parameters
