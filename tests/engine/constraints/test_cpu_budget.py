"""What a constraint may cost: told of its text before it is tried, and of its work while it is kept to."""

import json
import time

import pytest
from caravan.engine.constraints.cpu_budget import CpuBudget, TooCostlyError, in_words
from caravan.engine.constraints.token_mask import ConstraintError, MaskFactory
from caravan.grammars.compiler import GrammarCompiler, GrammarError
from caravan.grammars.complexity.lark import MAX_BREADTH, breadth
from caravan.grammars.complexity.schemas import schema_breadth
from caravan.grammars.gbnf.lark import Translation

from tests.engine.guided import SIZE, MarkerVocab, ids
from tests.grammars.gbnf.grammars import FILES, README

GRAMMARS = GrammarCompiler()


def crossing(count: int) -> str:
    """Rules that all lead to each other."""
    names = ["x" + str(n).translate(str.maketrans("0123456789", "abcdefghij")) for n in range(count)]
    rules = "\n".join(f"{name}: e e" for name in names)
    return f'start: e\ne: "a" | {" | ".join(names)}\n{rules}'


def test_rules_that_all_lead_to_each_other_are_refused_before_they_are_tried() -> None:
    assert breadth(crossing(100)) < MAX_BREADTH < breadth(crossing(700))
    begun = time.thread_time()
    with pytest.raises(GrammarError, match="too many alternatives"):
        GRAMMARS.from_lark(crossing(3000))
    # Tried out, this takes half a minute, on another thread.
    assert time.thread_time() - begun < 5


@pytest.mark.parametrize("text", [*FILES.values(), *README.values()])
def test_usual_grammars_are_far_from_the_limit(text: str) -> None:
    assert breadth(Translation(text, None).lark) < MAX_BREADTH / 1000


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ('start: "a" | b\nb: "c"', 3 * (3 + 1)),
        ('start: b b // b\nb: "//" | /b|b/\n  | b', 5 * (5 + 3 * 3)),
        ('start: %json {"b": {"b": "}|"}} b\nb: B\nB: "b" | B', 2 * (2 + 1)),
        ('?start[lazy]: b{1,3}\n!b{x}: "b"i | "c"', 3 * (3 + 2)),
    ],
)
def test_what_is_counted(text: str, count: int) -> None:
    assert breadth(text) == count


def test_a_schema_is_not_read_as_a_grammar() -> None:
    names = {f"a{n}": {"const": "b | c: d"} for n in range(500)}
    schema = {"properties": names}
    assert breadth(f"start: %json {json.dumps(schema)}") == schema_breadth(schema)
    assert breadth('start: %json {"a') == 1


def test_time_is_allowed_at_once_and_for_every_token() -> None:
    effort = CpuBudget()
    effort.begin_token()
    effort.spend(time.thread_time() - 0.5)
    effort.begin_token()
    effort.spend(time.thread_time() - 0.6)
    with pytest.raises(TooCostlyError, match=r"10 ms a token and 1 s"):
        effort.begin_token()


def test_a_grammar_that_can_be_read_in_ever_more_ways_ends() -> None:
    (mask,) = MaskFactory(SIZE, MarkerVocab()).make(GRAMMARS.from_lark('start: e\ne: e e | "a" | e e e'), 1)
    (letter,) = ids("a")

    def write(count: int) -> None:
        for _ in range(count):
            mask.prepare()
            assert mask.admits(letter)

    with pytest.raises(ConstraintError, match="in too many ways"):
        write(1000)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("Parser Error: Current row has 30 items; max is 20; consider", "more than 20 parts of rules"),
        ("Too many items (limit 50; mask); try avoiding", "more than 50 steps"),
        ("lexer error: too many states: 9 >= 8", "more than 8 states"),
        ("lexer error: too many expressions constructed", "too complex"),
        ("odd\nand more", "dead end: odd"),
    ],
)
def test_limits_are_told_in_words(fault: str, words: str) -> None:
    assert words in in_words(fault)
    assert "\n" not in in_words(fault)
