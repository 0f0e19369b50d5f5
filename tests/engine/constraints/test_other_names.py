"""Names of which only some are left: no text is led to one that has come."""

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest
from caravan.chat.tool_formats.registry import FORMATS
from caravan.chat.tool_formats.tool_spec import ToolSpec
from caravan.engine.constraints.token_mask import MaskFactory, TokenMask
from caravan.grammars.compiler import GrammarCompiler

from tests.engine.constraints.test_unique_names import mask_of
from tests.engine.guided import SIZE, MarkerVocab, ids

NULL = {"type": "null"}


def named(*patterns: str, **others: object) -> dict[str, Any]:
    found = {"patternProperties": dict.fromkeys(patterns, NULL), "additionalProperties": False}
    return {"type": "object", **found, **others}


def drawn(mask: TokenMask, seed: int, num_tokens: int = 400) -> str:
    """Text of tokens drawn at random, commas and names rather than ends; all of it is finished or goes on."""
    rng, text = np.random.default_rng(seed), b""
    for _ in range(num_tokens):
        logits = rng.normal(size=SIZE).astype(np.float32)
        logits[[ord(","), ord("{")]] += 4
        logits[[ord(" "), ord("\t"), ord("\n"), ord("]"), ord("}")]] -= 2
        mask.forbid(logits)
        order = np.argsort(-logits)
        token_id = next((int(t) for t in order if logits[t] > -np.inf and mask.admits(int(t))), None)
        assert token_id is not None, text
        text += MarkerVocab().token_bytes(token_id)
        if mask.is_complete:
            break
    return text.decode()


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs), pairs
    return dict(pairs)


NAMED = [
    named("^a$"),
    named("^(ab|ac)$"),
    named("^(red|green|blue)$", minProperties=3),
    named("^[ab]{1,2}$", minProperties=5, maxProperties=6),
    named("^[ab]{1,2}$", "^c$", minProperties=7),
    named("^(description|department|x{60})$", minProperties=3),
    named('^["\\\\é/]$', minProperties=4),
    named("^(ab?|a b|a b c)$", minProperties=4),
    named("^(ab|ac)$", properties={"ab": NULL, "b": NULL}, required=["b"]),
    {"type": "array", "items": named("^(ab|ac)$", minProperties=1), "minItems": 1, "maxItems": 4},
    named("^(a|b)$", properties={"o": named("^(a|b)$", minProperties=2)}, required=["o"], minProperties=3),
]


@pytest.mark.parametrize("schema", NAMED, ids=str)
def test_what_is_drawn_never_comes_to_a_dead_end(schema: dict[str, Any]) -> None:
    made = GrammarCompiler().from_schema(schema)
    found = [drawn(mask, seed) for seed, mask in enumerate(MaskFactory(SIZE, MarkerVocab()).make(made, 12))]
    for text in found:
        json.loads(text, object_pairs_hook=once)


def test_all_names_come_in_any_order() -> None:
    made = GrammarCompiler().from_schema(named("^(ab|ac)$", minProperties=2))
    masks = MaskFactory(SIZE, MarkerVocab()).make(made, 20)
    orders = Counter(tuple(json.loads(drawn(mask, seed))) for seed, mask in enumerate(masks))
    assert orders.keys() == {("ab", "ac"), ("ac", "ab")}


@pytest.mark.parametrize(
    ("pattern", "text", "refused"),
    [
        ("^a$", '{"a": null', [","]),
        ("^(ab|ac)$", '{"ab": null, "a', ["b"]),
        ("^(ab|ac)$", '{"ab": null, "ac": null', [",", ","]),
        ("^(ab|b)$", '{"ab": null, "', ["a"]),
        ("^(a|ab)$", '{"a": null, "a', ['"', '":']),
    ],
)
def test_a_token_is_refused_that_leads_to_no_other_name(pattern: str, text: str, refused: list[str]) -> None:
    mask = mask_of(GrammarCompiler().from_schema(named(pattern)))
    for token_id in ids(text):
        assert mask.admits(token_id), text
    for token in refused:
        assert not mask.admits(ids(token)[0]), token


def test_names_that_are_free_lack_nothing() -> None:
    mask = mask_of(GrammarCompiler().from_schema({"type": "object"}))
    for token_id in ids('{"a": 1, "a b": 1, "ab": 1, "": 1, "a'):
        assert mask.admits(token_id)
    assert not mask.admits(ids('"')[0])


@pytest.mark.parametrize("form", ["hermes", "mistral", "llama3_json", "deepseek_v3", "kimi_k2", "json"])
def test_arguments_of_tools(form: str) -> None:
    grammar = FORMATS[form].grammar([ToolSpec("f", named("^(red|green)$"))], parallel=False)
    for has_other_text in (False, True):
        made = GrammarCompiler().from_tool_grammar(
            grammar, has_unique_names=True, has_other_text=has_other_text
        )
        for seed, mask in enumerate(MaskFactory(SIZE, MarkerVocab()).make(made, 6)):
            drawn(mask, seed)


def test_text_that_ends_in_what_looks_like_a_name() -> None:
    made = GrammarCompiler().from_lark('start: "say {\\"a\\": 1, \\"" | o\no: %json {"type": "object"}')
    assert made.has_other_text
    mask = mask_of(made)
    for token_id in ids('say {"a": 1, "'):
        assert mask.admits(token_id)
    assert mask.is_complete


def test_many_names_take_little_time() -> None:
    """676 names of two letters each, the last of which leaves none."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    mask = mask_of(GrammarCompiler().from_schema(named("^[a-z]{2}$")))
    for token_id in ids("{" + ", ".join(f'"{a}{b}": null' for a in letters for b in letters)):
        assert mask.admits(token_id)
