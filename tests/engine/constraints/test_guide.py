"""Thinking, markers, constraints and what is forced: each rule, in the engine, in any order of events."""

import random

import msgspec
import pytest
from caravan.engine.outputs import FinishReason
from caravan.engine.params import GenerationRequest, Reasoning
from caravan.grammars.compiler import GrammarCompiler
from caravan.grammars.constraint import Constraint
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
    ids,
    thoughts,
)

GRAMMARS = GrammarCompiler()
WORD = GRAMMARS.from_regex("[a-z]+!")
PARENS = GRAMMARS.from_tool_grammar(r'start: "<tool>(" /[a-z]{1,9}/ ")"', after=("<tool>",))
CALLS = GRAMMARS.from_tool_grammar(rf"start: <[{CALL}]> /[a-z]+;/", after=("<call>",))
PERSON = {
    "type": "object",
    "properties": {"name": {"const": "ab"}},
    "required": ["name"],
    "additionalProperties": False,
}
SPELLED = Reasoning("<think>", "</think>", True, None, tuple(ids("</think>\n\n")), tuple(ids("<think>")))


def test_nothing_binds_before_a_marker() -> None:
    assert Scripted("free <b> text").answer(guided(PARENS)) == ("free <b> text", "stop")


@pytest.mark.parametrize("before", ["", "some text ", "<t", "<tool", "<<tool", "a"])
def test_the_grammar_begins_with_the_markers_first_byte(before: str) -> None:
    engine = Scripted(before, "<tool>(all) and more")
    assert engine.answer(guided(PARENS)) == (f"{before}<tool>(all)", "stop")


def test_a_token_is_drawn_anew_if_it_goes_on_in_a_way_that_is_not_allowed() -> None:
    wrong = 256 + PIECES.index(b"<tool>[")
    for temperature in (0.0, 1.0):
        engine = Scripted("x", wrong, "<tool>(all)")
        text, reason = engine.answer(guided(PARENS, temperature=temperature))
        assert reason == "stop"
        assert text.startswith("x")
        assert "[" not in text


def test_a_draw_that_is_refused_leaves_no_trace() -> None:
    wrong = 256 + PIECES.index(b"<tool>[")
    asked = guided(PARENS, temperature=1.0, seed=3, mirostat=2, repeat_penalty=1.5)
    told = []
    for script in (["x", wrong, "<tool>(all)"], ["x", "<tool>(all)"]):
        engine = Scripted(*script)
        assert engine.answer(asked) == ("x<tool>(all)", "stop")
        told.append([(o.text, o.num_completion_tokens, o.mirostat_mu) for o in engine.outputs])
    assert told[0] == told[1]


def test_control_tokens_are_markers_and_named_by_grammars() -> None:
    assert Scripted("hm ", CALL, "all; b").answer(guided(CALLS)) == ("hm <call>all;", "stop")
    assert Scripted("hm ", CALL, "all; b").answer(guided(CALLS, shown=())) == ("hm all;", "stop")


def test_control_tokens_spelled_out_do_not_begin_a_grammar_of_tokens() -> None:
    # The last byte of the marker is refused, so what comes is another.
    text, _ = Scripted("<call>all;").answer(guided(CALLS))
    assert "<call>" not in text


def test_of_several_markers_each_has_a_way_on() -> None:
    grammar = rf'start: <[{CALL}]> "a;" | "<tool>(" "b)"'
    both = GRAMMARS.from_tool_grammar(grammar, after=("<call>", "<tool>"))
    assert Scripted("x", CALL, "b)a;").answer(guided(both)) == ("x<call>a;", "stop")
    assert Scripted("x<tool>(a;b)").answer(guided(both)) == ("x<tool>(b)", "stop")


def test_bound_at_once_without_markers() -> None:
    assert Scripted("12all!").answer(guided(WORD)) == ("all!", "stop")


def test_thoughts_are_free_and_counted() -> None:
    engine = Scripted("12 <tool>", CLOSE, "12all!")
    assert engine.answer(guided(WORD, thoughts())) == ("12 <tool></think>all!", "stop")
    assert engine.last == (len(ids("12 <tool>")) + 1 + len(ids("all!")), len(ids("12 <tool>")) + 1)


def test_markers_in_thoughts_are_not_seen() -> None:
    engine = Scripted("<tool>[", CLOSE, "<tool>(ab)c")
    assert engine.answer(guided(PARENS, thoughts())) == ("<tool>[</think><tool>(ab)", "stop")


def test_thoughts_before_a_bound_answer_may_not_end_the_text() -> None:
    assert Scripted("x", END, CLOSE, "ab!").answer(guided(WORD, thoughts()))[0].endswith("</think>ab!")
    assert Scripted("x", END).answer(guided(PARENS, thoughts())) == ("x", "stop")


def test_white_space_may_come_between_thoughts_and_bound_text() -> None:
    assert Scripted("x", CLOSE, "\n\n", "ab!").answer(guided(WORD, thoughts()))[0] == "x</think>\n\nab!"
    text, reason = Scripted("x", CLOSE, "\n\n" * 30, "ab!").answer(guided(WORD, thoughts()))
    assert (text, reason) == ("x</think>" + "\n\n" * 4 + "ab!", "stop")


@pytest.mark.parametrize("end", ["</think>", "</think>\n\n"])
def test_ends_of_thoughts_may_be_spelled_out(end: str) -> None:
    assert Scripted("x", end, "12ab!").answer(guided(WORD, SPELLED)) == (f"x{end}ab!", "stop")


def test_what_follows_the_end_of_thoughts_in_one_token_counts() -> None:
    brace = GRAMMARS.from_regex(r"\{a")
    assert Scripted("x</think>{a").answer(guided(brace, SPELLED)) == ("x</think>{a", "stop")
    # The token that brings the brace is refused where a brace may not come.
    text, reason = Scripted("x", *ids("</"), 256 + PIECES.index(b"think>{"), "think>ab!").answer(
        guided(WORD, SPELLED)
    )
    assert (text, reason) == ("x</think>ab!", "stop")


def test_a_model_may_open_its_thoughts_itself() -> None:
    closed = thoughts(is_open=False)
    engine = Scripted(OPEN, "12", CLOSE, "all!")
    assert engine.answer(guided(WORD, closed)) == ("<think>12</think>all!", "stop")
    assert engine.last[1] == 4
    assert Scripted("12all!").answer(guided(WORD, closed)) == ("all!", "stop")
    assert Scripted("ab", OPEN, "!").answer(guided(WORD, closed)) == ("ab!", "stop")
    engine = Scripted("\n\n", OPEN, "<tool>", CLOSE, "<tool>(ab)")
    assert engine.answer(guided(PARENS, closed)) == ("\n\n<think><tool></think><tool>(ab)", "stop")


def test_thoughts_opened_late_are_text() -> None:
    engine = Scripted("x", OPEN, "<tool>(ab)")
    assert engine.answer(guided(PARENS, thoughts(is_open=False))) == ("x<think><tool>(ab)", "stop")
    assert engine.last[1] == 0


def test_a_marker_in_several_tokens_opens_thoughts_of_a_bound_text() -> None:
    closed = msgspec.structs.replace(SPELLED, is_open=False)
    tags = GRAMMARS.from_regex(r"<th?[a-z]*!")
    assert Scripted("<think>12</think>", "<tab!").answer(guided(tags, closed))[0] == "<think>12</think><tab!"
    assert Scripted("<tab!").answer(guided(tags, closed)) == ("<tab!", "stop")


@pytest.mark.parametrize("budget", [0, 1, 5])
def test_a_budget_ends_thoughts(budget: int) -> None:
    engine = Scripted("1" * budget, *ids("ab!"), "1" * 50)
    request = guided(WORD, thoughts(budget=budget))
    text, _ = engine.answer(request)
    assert text.startswith("1" * budget + "</think>")
    assert engine.last[1] == budget + 1


def test_a_budget_of_thoughts_that_the_model_opens() -> None:
    engine = Scripted(OPEN, "1" * 50)
    text, _ = engine.answer(guided(None, thoughts(is_open=False, budget=2), max_tokens=8))
    assert text == "<think>11</think>1111"
    assert engine.last == (8, 4)


def test_a_thought_ends_when_it_is_told_to() -> None:
    engine = Scripted("1" * 50, CLOSE, "ab!")
    engine.engine.submit(guided(WORD, thoughts()))
    while not engine.outputs or engine.last[0] < 5:
        engine.engine.turn()
    engine.engine.end_thoughts("others")
    engine.engine.turn()
    assert engine.last == (6, 6)
    engine.engine.end_thoughts("r")
    assert engine.finish()["r", 0] == "111111</think>ab!"


def test_what_has_not_begun_to_think_is_not_told_to_end() -> None:
    engine = Scripted(OPEN, "11", CLOSE, "ab!")
    engine.engine.submit(guided(WORD, thoughts(is_open=False)))
    engine.engine.end_thoughts("r")
    assert engine.finish()["r", 0] == "<think>11</think>ab!"


def test_an_end_that_has_begun_is_not_begun_anew() -> None:
    spelled = msgspec.structs.replace(SPELLED, budget=2)
    assert (
        Scripted("1", *ids("</"), "1" * 9)
        .answer(guided(None, spelled, max_tokens=8))[0]
        .startswith("1</think>\n\n1")
    )


def test_forced_tokens_end_at_the_limit() -> None:
    spelled = msgspec.structs.replace(SPELLED, budget=0)
    engine = Scripted("1" * 9)
    assert engine.answer(guided(None, spelled, max_tokens=2)) == ("</think", "length")
    assert engine.last == (2, 2)


def test_log_probabilities_of_forced_tokens_are_told() -> None:
    engine = Scripted("11", '{"name":"ab"}')
    engine.answer(guided(GRAMMARS.from_schema(PERSON), thoughts(budget=2), num_logprobs=1))
    told = [entry.token_id for output in engine.outputs for entry in output.logprobs]
    assert bytes(b"".join(map(MarkerVocab().raw_bytes, told))) == b'11</think>{"name":"ab"}'


def test_forced_text_is_not_drawn_and_is_as_a_tokenizer_spells_it() -> None:
    text = '{"name":"ab"}'
    drawn, forced = Scripted(text), Scripted(text)
    schema = GRAMMARS.from_schema(PERSON)
    unforced = Constraint(schema.grammar + '\n%llguidance {"no_forcing": true}\n')
    assert drawn.answer(guided(unforced)) == forced.answer(guided(schema)) == (text, "stop")
    assert forced.engine.stats().num_steps < drawn.engine.stats().num_steps
    assert forced.last == drawn.last == (len(ids(text)), 0)


def test_tokenizers_that_change_text_do_not_change_what_is_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MarkerVocab, "spell", lambda _self, text: ids(f" {text}"))
    text = '{"name":"ab"}'
    assert Scripted(text).answer(guided(GRAMMARS.from_schema(PERSON))) == (text, "stop")


def test_bans_are_stronger_than_what_is_forced() -> None:
    request = guided(GRAMMARS.from_schema(PERSON), logit_bias=[(ids("name")[0], float("-inf"))])
    engine = Scripted("zzz")
    engine.run([request])
    assert "name" not in {MarkerVocab().token_bytes(t).decode() for t in ids(engine.texts()["r", 0])}
    assert [len(reasons) for reasons in engine.reasons().values()] == [1]


def test_a_dead_end_after_the_marker_is_an_error() -> None:
    dead = GRAMMARS.from_tool_grammar(rf'start: "<tool>" (<[{CALL}]> | "x")', after=("<tool>",))
    engine = Scripted("ab<tool>")
    engine.run([guided(dead, allowed_token_ids=ids("ab<tool>y"))])
    assert engine.reasons() == {("r", 0): [FinishReason.UNSATISFIABLE]}
    assert engine.texts()["r", 0] == "ab<tool>"


def test_requests_that_make_no_sense_are_refused() -> None:
    for request in (
        guided(None, thoughts(end="")),
        guided(None, thoughts(end_token_ids=(10_000,))),
        guided(None, thoughts(end_token_ids=())),
        guided(msgspec.structs.replace(PARENS, after=("",))),
        guided(shown=(-1,)),
    ):
        engine = Scripted("x")
        engine.run([request])
        assert engine.reasons() == {("r", 0): [FinishReason.ERROR]}


TEXT = "so <t <tool <tool>(all)"


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_tokens_of_a_text_come_to_the_same(data: st.DataObject) -> None:
    rest, script = TEXT.encode(), []
    while rest:
        fitting = [token_id for token_id in range(256 + len(PIECES)) if rest.startswith(_bytes(token_id))]
        script.append(data.draw(st.sampled_from(fitting)))
        rest = rest[len(_bytes(script[-1])) :]
    assert Scripted(*script, "more").answer(guided(PARENS)) == (TEXT, "stop")


def _bytes(token_id: int) -> bytes:
    return MarkerVocab().token_bytes(token_id)


CONSTRAINTS = (None, WORD, PARENS, CALLS, GRAMMARS.from_schema(PERSON))
REASONINGS = (
    None,
    thoughts(),
    thoughts(budget=0),
    thoughts(budget=3),
    thoughts(is_open=False),
    thoughts(is_open=False, budget=1),
    SPELLED,
    msgspec.structs.replace(SPELLED, is_open=False, budget=2),
)


def _requests(seed: int) -> list[GenerationRequest]:
    rng = random.Random(seed)
    return [
        guided(
            rng.choice(CONSTRAINTS),
            rng.choice(REASONINGS),
            name=f"r{number}",
            temperature=rng.choice([0.0, 30.0, 300.0]),
            seed=rng.randrange(99),
            max_tokens=rng.randrange(1, 50),
            stop=rng.choice([(), ("ab",), ("</",)]),
            repeat_penalty=rng.choice([1.0, 1.1]),
            mirostat=rng.choice([0, 0, 2]),
            num_logprobs=rng.choice([None, None, 0]),
        )
        for number in range(8)
    ]


SCRIPT = ("so ", OPEN, "x<tool>(ab</think>", CLOSE, "\n\n", CALL, "all;<tool>(ab)ab!")


@pytest.mark.parametrize("seed", range(6))
def test_together_and_preempted_equal_alone(seed: int) -> None:
    requests = _requests(seed)
    alone: dict[tuple[str, int], str] = {}
    for request in requests:
        alone |= Scripted(*SCRIPT).run([request])
    assert Scripted(*SCRIPT).run(requests) == alone
    squeezed = Scripted(*SCRIPT, num_cells=70)
    assert squeezed.run(requests) == alone
    assert all(len(reasons) == 1 for reasons in squeezed.reasons().values())


@pytest.mark.parametrize("seed", range(6))
def test_an_abort_in_any_state_ends_once(seed: int) -> None:
    engine, rng = Scripted(*SCRIPT), random.Random(seed)
    requests = _requests(seed)
    for request in requests:
        engine.engine.submit(request)
    when = {rng.randrange(30): f"r{number}" for number in range(8)}
    engine.finish(lambda turn: engine.engine.abort(when[turn]) if turn in when else None)
    assert len(engine.reasons()) == 8
    assert all(len(reasons) == 1 for reasons in engine.reasons().values())
    engine.check_books()
