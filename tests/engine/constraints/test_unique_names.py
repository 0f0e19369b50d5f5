"""No object has a name twice: found in JSON that comes in pieces, and kept to by what is drawn."""

import json
import random
import re
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import pytest
from caravan.engine.constraints.token_mask import MaskFactory, TokenMask
from caravan.engine.constraints.unique_names import UniqueNames
from caravan.grammars.compiler import GrammarCompiler
from caravan.grammars.constraint import Constraint

from tests.engine.guided import SIZE, MarkerVocab, ids

ONCE = [
    '{"a": 1, "b": 2}',
    '{"a": {"a": {"a": 1}}, "b": [{"a": 1}, {"a": 2}]}',
    '[{"a": 1}, {"a": 2}, "a", "a"]',
    '{"a": "a\\", \\"a", "b": "}{"}',
    '{"a\\"": 1, "a": 2, "a\\\\": 3}',
    '{"": 1, " ": 2, "é": 3, "e": 4}',
    '<tool_call>\n{"name": "f", "arguments": {"name": 1}}\n</tool_call>\n<tool_call>\n{"name": "f"}',
    '[TOOL_CALLS]f[ARGS]{"a": 1}[TOOL_CALLS]f[ARGS]{"a": 1}',
]
TWICE = [
    '{"a": 1, "a"',
    '{"a": {"b": 1}, "c": [], "a"',
    '[0, {"x": {}, "x"',
    '{"\\u0061": 1, "a"',
    '{"é": 1, "\\u00e9"',
    '{\n  "a" : 1 ,\n  "a"',
    '{"": 1, ""',
    'calls: {"a": [{"b": 1, "b"',
]


def in_pieces(text: str) -> Iterator[list[bytes]]:
    raw, rng = text.encode(), random.Random(4)
    yield [raw]
    yield [bytes([byte]) for byte in raw]
    for _ in range(20):
        cuts = sorted(rng.sample(range(len(raw)), rng.randrange(1, 6)))
        yield [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]


class Names(Protocol):
    """What has read some of a text."""

    def after(self, text: bytes, /) -> "Names | None":
        """The same after more of it; None where a name has come twice."""


def is_unique(pieces: list[bytes], names: Names | None = None) -> bool:
    """Whether no name comes twice, as `names` read them, of which nothing has been read; or whole JSON."""
    state: Names | None = UniqueNames() if names is None else names
    for piece in pieces:
        assert state is not None
        state = state.after(piece)
        if state is None:
            return False
    return True


@pytest.mark.parametrize("text", ONCE)
def test_names_that_come_once_pass(text: str) -> None:
    assert all(is_unique(pieces) for pieces in in_pieces(text))


@pytest.mark.parametrize("text", TWICE)
def test_a_name_that_comes_twice_is_found_at_its_last_quote(text: str) -> None:
    for pieces in in_pieces(text):
        assert is_unique([b"".join(pieces)[:-1]])
        assert not is_unique(pieces)


def mask_of(constraint: Constraint) -> TokenMask:
    (mask,) = MaskFactory(SIZE, MarkerVocab()).make(constraint, 1)
    return mask


def test_a_mask_refuses_the_token_and_goes_on() -> None:
    made = GrammarCompiler().from_schema({"type": "object", "minProperties": 2})
    assert made.has_unique_names
    mask = mask_of(made)
    for token_id in ids('{"name": 1, "name'):
        assert mask.admits(token_id)
    for ending in ('"', '":', '"}'):
        (token_id,) = ids(ending)[:1]
        assert not mask.admits(token_id)
    for token_id in ids('2": 1}'):
        assert mask.admits(token_id)
    mask.reset()
    assert mask.admits_text(b'{"a": 1, "b')
    assert not mask.admits(ids("a")[0]) or mask.admits(ids('"')[0])


def test_what_is_drawn_blindly_has_unique_names() -> None:
    """Names of one letter among three, drawn at random, would be the same at once."""
    named = {"patternProperties": {"^[abc]$": {"type": "null"}}, "additionalProperties": False}
    made = GrammarCompiler().from_schema({"type": "object", **named, "maxProperties": 3})
    factory, rng = MaskFactory(SIZE, MarkerVocab()), np.random.default_rng(1)
    for _ in range(40):
        (mask,) = factory.make(made, 1)
        text = b""
        for _ in range(200):
            logits = rng.normal(size=SIZE).astype(np.float32)
            mask.forbid(logits)
            order = np.argsort(-logits)
            token_id = next((int(t) for t in order if logits[t] > -np.inf and mask.admits(int(t))), None)
            if token_id is None or mask.is_complete:
                break
            text += MarkerVocab().token_bytes(token_id)
        names = re.findall('"([abc])"', text.decode())
        assert len(names) == len(set(names)), text


@pytest.mark.parametrize(
    ("schema", "is_wanted"),
    [({"type": "object"}, True), ({"type": "object", "additionalProperties": False}, False), ({}, True)],
)
def test_only_where_names_are_free(schema: dict[str, object], *, is_wanted: bool) -> None:
    assert GrammarCompiler().from_schema(schema).has_unique_names is is_wanted


def test_large_objects_take_no_time() -> None:
    text = json.dumps({f"name {number}": number for number in range(3_000)}).encode()
    assert is_unique([text[at : at + 4] for at in range(0, len(text), 4)])
