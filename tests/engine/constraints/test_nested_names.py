"""No object has a name twice, where JSON stands in the midst of other text."""

import json
import random

import numpy as np
import pytest
from caravan.chat.tool_formats.registry import FORMATS
from caravan.chat.tool_formats.tool_spec import ToolSpec
from caravan.engine.constraints.nested_names import NestedNames
from caravan.engine.constraints.token_mask import MaskFactory
from caravan.grammars.compiler import GrammarCompiler
from caravan.grammars.constraint import Constraint

from tests.engine.constraints import test_unique_names as unique_names
from tests.engine.constraints.test_unique_names import ONCE, TWICE, in_pieces, mask_of
from tests.engine.guided import SIZE, MarkerVocab, ids

# What looks like JSON for a while, or says nothing of names.
NOISE = [
    "f(x)[0] = {y: 1}, {z: 1}, {z: 2}",
    'if a { "x" } else { "x" }',
    '{"x" 1, "x" 1}',
    '{"x": 1 "x": 1}',
    '{"x": 1, "x\n": 2}',
    '{"x": (1), "x": 2}',
    '{"x": "a\nb", "x": 2}',
    "{'a': 1, 'a': 2}",
    '"{" "x" : 1, "x" : 2',
    "{{{ {{{ {{{",
    '{"a": 1} {"a": 1}',
    '<a>{"a": 1}</a><b>{"a": [{"a": 1}, {"a": 2}]}</b>',
    '{"a": {"b": 1, "c": tru<x>{"b": 2}',
]


def is_unique(pieces: list[bytes]) -> bool:
    return unique_names.is_unique(pieces, NestedNames())


@pytest.mark.parametrize("text", [*ONCE, *NOISE])
def test_what_says_no_name_twice_passes(text: str) -> None:
    assert all(is_unique(pieces) for pieces in in_pieces(text))


@pytest.mark.parametrize("before", ["", *NOISE])
@pytest.mark.parametrize("text", TWICE)
def test_a_name_that_comes_twice_is_found_at_its_last_quote(text: str, before: str) -> None:
    for pieces in in_pieces(f"{before} </x>\n{text}"):
        assert is_unique([b"".join(pieces)[:-1]])
        assert not is_unique(pieces)


def test_random_json_in_random_text() -> None:
    rng = random.Random(5)

    def value(depth: int) -> tuple[str, bool]:
        """Some JSON, and whether a name comes twice in it."""
        kind = rng.choice(["object", "array", "scalar"]) if depth else "scalar"
        if kind == "scalar":
            return rng.choice(["1", "-2.5e3", "true", "null", '"}"', '"{\\"a\\": 1, \\"a\\""', '""']), False
        inner = [value(depth - 1) for _ in range(rng.randrange(4))]
        is_twice = any(twice for _, twice in inner)
        if kind == "array":
            return f"[{', '.join(text for text, _ in inner)}]", is_twice
        names = [rng.choice(["a", "b", "\\u0061", "é", ""]) for _ in inner]
        said = [json.loads(f'"{name}"') for name in names]
        pairs = [f'"{name}" :\n{text}' for name, (text, _) in zip(names, inner, strict=True)]
        return f"{{{','.join(pairs)}}}", is_twice or len(set(said)) < len(said)

    found = set()
    for _ in range(400):
        text, is_twice = value(4)
        if text.startswith("{"):
            found.add(is_twice)
            around = f"{rng.choice(NOISE)}\n<{text}>{rng.choice(NOISE)}"
            assert is_unique([around.encode()]) is not is_twice, around
    assert found == {False, True}


def bound(form: str) -> Constraint:
    schema = {"type": "object", "properties": {"o": {"type": "object"}, "s": {"type": "string"}}}
    tools = [ToolSpec("f", {**schema, "required": ["o"]})]
    grammar = FORMATS[form].grammar(tools, parallel=False)
    return GrammarCompiler().from_tool_grammar(grammar, has_unique_names=True, has_other_text=True)


@pytest.mark.parametrize(
    ("form", "head"),
    [
        ("qwen_coder", "<tool_call>\n<function=f>\n<parameter=o>\n"),
        ("pythonic", "[f(o="),
        ("gemma4", "<|tool_call>call:f{o:"),
        ("glm_dense", "<tool_call>f<arg_key>o</arg_key><arg_value>"),
        ("minimax_m3", ']<]minimax[>[<tool_call>\n]<]minimax[>[<invoke name="f">]<]minimax[>[<o>'),
    ],
)
def test_a_mask_refuses_the_second_in_all_formats(form: str, head: str) -> None:
    (mask,) = MaskFactory(SIZE, MarkerVocab()).make(bound(form), 1)
    assert mask.admits_text(head.encode())
    for token_id in ids('{"a": {"a": 1}, "b": [], "a'):
        assert mask.admits(token_id)
    assert not mask.admits(ids('"')[0])
    for token_id in ids('b": 1}'):
        assert mask.admits(token_id)


def test_json_in_a_grammar_of_ones_own_has_unique_names() -> None:
    made = GrammarCompiler().from_lark('start: "say: " o\no: %json {"type": "object"}')
    mask = mask_of(made)
    logits = np.zeros(SIZE, np.float32)
    for token_id in ids('say: {"a": 1, "a'):
        mask.forbid(logits)
        assert mask.admits(token_id)
    assert not mask.admits(ids('"')[0])
    assert not GrammarCompiler().from_lark('start: "a"').has_unique_names
