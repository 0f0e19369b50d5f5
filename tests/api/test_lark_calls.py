"""Grammars in Lark of custom tools among all else that binds an answer."""

import json
from typing import Any

import pytest
from caravan.api.prompt.tools import tool_request
from caravan.api.structured.tool_calls import Calls
from caravan.chat.tool_formats.registry import HERMES
from caravan.errors import InvalidRequestError
from caravan.grammars.compiler import GrammarCompiler
from caravan_schemas.chat import ChatCompletionRequest

from tests.chat.test_tool_grammars import accepts
from tests.custom_grammars import APPLY_PATCH, ARITHMETIC, EXAMPLES

PLAIN = {"type": "function", "function": {"name": "plain", "parameters": {"type": "object"}}}


def custom(name: str, definition: str) -> dict[str, Any]:
    grammar = {"syntax": "lark", "definition": definition}
    return {"type": "custom", "custom": {"name": name, "format": {"type": "grammar", "grammar": grammar}}}


def calls(*tools: dict[str, Any], otherwise: str | None = None) -> Calls:
    fields = {"model": "m", "messages": [{"role": "user", "content": "x"}], "tools": list(tools)}
    request = tool_request(ChatCompletionRequest.model_validate(fields))
    assert request is not None
    return Calls(
        param=request.param,
        model_id="m",
        tools=request.callable,
        is_parallel=True,
        write=lambda specs: HERMES.grammar(specs, parallel=True),
        otherwise=None if otherwise is None else GrammarCompiler().from_lark(otherwise),
    )


def call(name: str, text: str) -> str:
    arguments = json.dumps({"input": text}, ensure_ascii=False)
    return f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'


def test_several_grammars_and_other_answers_go_together() -> None:
    tools = [custom("patch", APPLY_PATCH), PLAIN, custom("sum", ARITHMETIC)]
    grammar = (
        calls(*tools, otherwise='start: "no" | "never"').constraint(GrammarCompiler()).constraint.grammar
    )
    patch, total = EXAMPLES[APPLY_PATCH][1], EXAMPLES[ARITHMETIC][1]
    for text in (
        "no",
        call("patch", patch),
        call("sum", total),
        f"{call('sum', total)}\n{call('patch', patch)}",
    ):
        assert accepts(grammar, text), text
    for text in ("yes", call("patch", total), call("sum", patch), f"no{call('sum', total)}"):
        assert not accepts(grammar, text), text


def test_what_users_write_is_not_forced_at_once() -> None:
    grammar = calls(custom("same", 'start: "a"')).constraint(GrammarCompiler()).constraint.grammar
    assert '%llguidance {"no_forcing": true}' in grammar


@pytest.mark.parametrize(
    ("definition", "complaint"),
    [
        ("start: /a/\n  | (", "at line 2, column"),
        ("start: /(/", "unclosed group"),
        ('start: "\\u0001"', "nothing satisfies it that a JSON string can hold"),
    ],
)
def test_what_is_wrong_with_a_grammar_is_said_at_its_place(definition: str, complaint: str) -> None:
    with pytest.raises(InvalidRequestError, match=complaint) as raised:
        calls(PLAIN, custom("f", definition)).constraint(GrammarCompiler())
    assert raised.value.param == "tools[1].custom.format.grammar.definition"


def test_grammars_tell_constraints_apart() -> None:
    first, second = (calls(custom("f", text)).identity() for text in ("start: /a/", "start: /b/"))
    assert first != second
