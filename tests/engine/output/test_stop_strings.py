"""Stop strings count in content alone, wherever the text is split."""

import random

import pytest
from caravan.engine.output.stop_strings import StopStrings
from caravan.engine.params import AnswerLayout, Reasoning, SamplingParams
from caravan.grammars.call_prefix import CallPrefix

THINK = Reasoning("<think>", "</think>", is_open=False, budget=None, end_token_ids=(), start_token_ids=())
CALL = '<call>{"a": "x#y"}</call>'
TOOLS = AnswerLayout(calls=("<call>",))
BARE = AnswerLayout(begins=CallPrefix((("{",), ("[", "{")), ('"f"',)))
HEADED = AnswerLayout(frames=(("<a>", "<b>"), ("<a>self<b>", "<c>"), ("<c>", "")), calls=("<a>to=",))


def passed(
    text: str,
    stop: tuple[str, ...],
    layout: AnswerLayout | None = None,
    reasoning: Reasoning | None = None,
    *,
    size: int = 1,
    limit: int = 1,
    include: bool = False,
) -> tuple[str, bool]:
    """What comes through, and whether a stop string has ended it."""
    search = StopStrings(SamplingParams(stop=stop, stop_limit=limit, include_stop=include), reasoning, layout)
    found = ""
    for at in range(0, len(text), size):
        found += search.push(text[at : at + size])
        if search.stopped:
            return found, True
    found += search.finish()
    return found, search.stopped


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
@pytest.mark.parametrize(
    ("text", "stop", "layout", "reasoning", "expected"),
    [
        # Thoughts.
        ("<think>a#b</think>c#d", "#", None, THINK, "<think>a#b</think>c"),
        (" \n<think>a#b</think>c", "#", None, THINK, None),
        ("a#<think>", "#", None, THINK, "a"),
        ("<thi#nk>", "#", None, THINK, "<thi"),
        ("<think>a</think>b", "k>", None, THINK, None),
        ("<think>#", "#", None, THINK, None),
        ("<th", "<th", None, THINK, ""),
        # The empty lines behind them, which no client sees.
        ("<think>a</think>\n\nb\nc", "\n", None, THINK, "<think>a</think>\n\nb"),
        ("<think>a</think> \nb c", " ", None, THINK, "<think>a</think> \nb"),
        ("<think>a</think>\n b c", " b", None, THINK, "<think>a</think>\n"),
        ("<think>a</think>\n\n", "\n", None, THINK, None),
        ("<think>a</think>\n#b", "\n#", None, THINK, None),
        (f"<think>a</think>\n{CALL}\n", "\n", TOOLS, THINK, None),
        # Calls behind a marker.
        (f"Hi {CALL}", "#", TOOLS, None, None),
        (f"Hi# {CALL}", "#", TOOLS, None, "Hi"),
        (f"Hi {CALL}", "<call>", TOOLS, None, None),
        (f"Hi {CALL}", "<", TOOLS, None, None),
        (f"Hi {CALL}", " <", TOOLS, None, None),
        ("Hi <cold", "<", TOOLS, None, "Hi "),
        ("Hi <c", "<", TOOLS, None, "Hi "),
        (f"<think>#</think>{CALL}", "#", TOOLS, THINK, None),
        # Calls that are the whole answer.
        ('{"f": "#"}', "#", BARE, None, None),
        (' [ {"f"#', "#", BARE, None, None),
        ('{"g": "#"}', "#", BARE, None, '{"g": "'),
        ('{"', '"', BARE, None, "{"),
        ("\n" * 100 + "#", "\n\n", BARE, None, ""),
        ("a#b", "#", AnswerLayout(is_all_calls=True), None, None),
        ("<think>a#</think>b#", "#", AnswerLayout(is_all_calls=True), THINK, None),
        # Headers and later thoughts.
        ("<a>final<b>It is final.", "final", HEADED, None, "<a>final<b>It is "),
        ("<a>self<b>x#<c><a>you<b>y#z", "#", HEADED, None, "<a>self<b>x#<c><a>you<b>y"),
        ("<a>to=f<b>#", "#", HEADED, None, None),
        ("x<c>y", "<c>", HEADED, None, None),
    ],
)
def test_what_counts(
    text: str,
    stop: str,
    layout: AnswerLayout | None,
    reasoning: Reasoning | None,
    expected: str | None,
    size: int,
) -> None:
    outcome = (text, False) if expected is None else (expected, True)
    assert passed(text, (stop,), layout, reasoning, size=size) == outcome
    if expected is not None:
        with_stop, _ = passed(text, (stop,), layout, reasoning, size=size, include=True)
        assert with_stop == expected + stop
        assert passed(text, (stop,), layout, reasoning, size=size, limit=99)[0] == text


@pytest.mark.parametrize("seed", range(300))
def test_no_split_matters(seed: int) -> None:
    rng = random.Random(seed)
    pieces = ["<think>", "</think>", "<call>", "<a>", "<b>", "<c>", "self", "to=", "#", "<", " ", "x", "##"]
    text = "".join(rng.choice(pieces) for _ in range(rng.randrange(30)))
    stop = tuple(rng.sample(["#", "x#", "<", "a>", "##x", "> "], rng.randrange(1, 4)))
    layout = rng.choice([None, TOOLS, BARE, HEADED])
    reasoning = rng.choice([None, THINK])
    whole = passed(text, stop, layout, reasoning, size=1000)
    assert passed(text, stop, layout, reasoning, size=rng.randrange(1, 6)) == whole
    assert text.startswith(whole[0])


def test_what_comes_before_a_stop_may_count_is_exempt() -> None:
    search = StopStrings(SamplingParams(stop=("ab",)), None, TOOLS)
    assert search.push("ab a", may_stop=False) == "ab a"
    assert search.push("b <c", may_stop=False) + search.push("x ab") == "b <cx "
    assert search.stopped
