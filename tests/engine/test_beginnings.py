"""Answers that are bound if they begin like a call, and free otherwise, in any tokens and any state."""

import msgspec
import pytest
from caravan.grammars.call_prefix import CallPrefix
from caravan.grammars.compiler import GrammarCompiler
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.guided import (
    CALL,
    CLOSE,
    END,
    OPEN,
    PIECES,
    MarkerVocab,
    Scripted,
    guided,
    thoughts,
)

pytestmark = pytest.mark.usefixtures("either_attention")

GRAMMAR = r'start: /\{ ?"name": ?/ "\"ab\"}" | "<tool>(" /[a-z]+/ ")"'
BEGINS = CallPrefix((("{", '"name"', ":"),), ('"ab"',))
BOUND = GrammarCompiler().from_tool_grammar(GRAMMAR, after=("<tool>",), begins=BEGINS)
WHOLE = '{"name": "ab"}'


def test_an_answer_that_begins_so_is_bound_as_a_whole() -> None:
    assert Scripted('{"name": "ab" or "x"}').answer(guided(BOUND)) == (WHOLE, "stop")
    assert Scripted('\n\n  {"name": "ab" x}').answer(guided(BOUND)) == (f"\n\n  {WHOLE}", "stop")


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "the": "ab"}',
        '{"nam',
        '{"name": "a',
        f"so {WHOLE} x",
        "",
        '{"name": "abc"}',
        '[{"name": "ab"x',
    ],
)
def test_an_answer_that_begins_otherwise_is_free(text: str) -> None:
    assert Scripted(text).answer(guided(BOUND)) == (text, "stop")


def test_a_token_that_completes_the_beginning_has_to_fit() -> None:
    for temperature in (0.0, 1.0):
        engine = Scripted('{   "name": "ab"}')
        text, _ = engine.answer(guided(BOUND, temperature=temperature))
        # The grammar knows no three spaces, and so the name is another.
        assert '"ab"' not in text


def test_markers_count_as_well() -> None:
    assert Scripted("x <tool>(all) x").answer(guided(BOUND)) == ("x <tool>(all)", "stop")
    assert Scripted('{"nam<tool>(all) x').answer(guided(BOUND)) == ('{"nam<tool>(all)', "stop")
    assert Scripted("<tool>(all) x").answer(guided(BOUND)) == ("<tool>(all)", "stop")


@pytest.mark.parametrize("is_open", [True, False])
def test_the_answer_begins_behind_the_thoughts(is_open: bool) -> None:
    opening = () if is_open else (OPEN,)
    asked = guided(BOUND, thoughts(is_open=is_open))
    for script in (WHOLE + "x", "\n\n" + WHOLE + "x"):
        text, reason = Scripted(*opening, '{"name": "ab" x', CLOSE, script).answer(asked)
        assert text.endswith('{"name": "ab" x</think>' + script[:-1])
        assert reason == "stop"
    free = Scripted(*opening, "x", CLOSE, "so " + WHOLE + "x").answer(asked)[0]
    assert free.endswith(f"</think>so {WHOLE}x")


def test_thoughts_that_may_come_and_do_not() -> None:
    asked = guided(BOUND, thoughts(is_open=False))
    assert Scripted(WHOLE + "x").answer(asked) == (WHOLE, "stop")
    assert Scripted("<t" + WHOLE).answer(asked) == ("<t" + WHOLE, "stop")


def test_only_tokens_that_readers_see_count() -> None:
    hidden, shown = guided(BOUND, shown=()), guided(BOUND, shown=(CALL,))
    assert Scripted(CALL, WHOLE, "x").answer(hidden) == (WHOLE, "stop")
    assert Scripted('{"name"', CALL, ': "ab"}x').answer(hidden) == (WHOLE, "stop")
    assert Scripted(CALL, WHOLE, "x").answer(shown) == (f"<call>{WHOLE}x", "stop")


def test_a_text_may_end_before_it_has_begun() -> None:
    assert Scripted('{"', END).answer(guided(BOUND)) == ('{"', "stop")
    assert Scripted('{"name": "ab"', END).answer(guided(BOUND)) == (WHOLE, "stop")


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_tokens_of_a_text_come_to_the_same(data: st.DataObject) -> None:
    rest, script = WHOLE.encode(), []
    table = [MarkerVocab().token_bytes(token_id) for token_id in range(256 + len(PIECES))]
    while rest:
        fitting = [token_id for token_id, piece in enumerate(table) if rest.startswith(piece)]
        script.append(data.draw(st.sampled_from(fitting)))
        rest = rest[len(table[script[-1]]) :]
    assert Scripted(*script, "more").answer(guided(BOUND)) == (WHOLE, "stop")


def test_together_and_preempted_equal_alone() -> None:
    requests = [
        guided(BOUND, reasoning, name=f"{number}.{seed}", temperature=heat, seed=seed)
        for number, reasoning in enumerate((None, thoughts(), thoughts(is_open=False, budget=2)))
        for seed, heat in enumerate((0.0, 30.0, 300.0))
    ]
    script = ("\n\n", '{"name":', CLOSE, ' "ab"} and <tool>(all)')
    alone: dict[tuple[str, int], str] = {}
    for request in requests:
        alone |= Scripted(*script).run([request])
    assert Scripted(*script).run(requests) == alone
    assert Scripted(*script, num_cells=70).run(requests) == alone


def test_it_crosses_the_border() -> None:
    data = msgspec.msgpack.encode(BOUND)
    assert msgspec.msgpack.decode(data, type=type(BOUND)) == BOUND
