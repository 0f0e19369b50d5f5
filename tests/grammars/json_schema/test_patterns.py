"""Expressions of clients, run over finished text: what they mean, and that none can take for ever."""

import json

import pytest
from caravan.grammars.compiler import GrammarCompiler
from caravan.grammars.json_schema.patterns import is_in, matches
from caravan.grammars.recognizer import accepts


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("b", "abc", True),
        ("^b", "abc", False),
        ("^abc$", "abc\n", False),
        ("^(?:a|b)$", "b", True),
        ("^a|b$", "ax", True),
        (r"^\d{3}-\d{4}$", "555-1234", True),
        (r"^\p{Lu}", "Ärger", True),
        (r"^[\w.+-]+@[\w-]+\.[\w.-]+$", "a@b.c", True),
        ("^.$", "🦙", True),
        ("", "", True),
    ],
)
def test_patterns_are_searched_for(pattern: str, text: str, *, expected: bool) -> None:
    assert is_in(pattern, text) is expected


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("a|bc", "bc", True),
        ("a|bc", "abc", False),
        ("(?ix) a b # and no more", "AB", True),
        ("(?i)AB", "ab", True),
        (r"\d+", "12a", False),
    ],
)
def test_expressions_match_as_a_whole(pattern: str, text: str, *, expected: bool) -> None:
    assert matches(pattern, text) is expected


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|aa)+$", "^(a*)*b", r"^([a-z]+)*\.$", "(x+x+)+y"])
def test_nothing_backtracks(pattern: str) -> None:
    """Python's engine would take longer than the sun has left."""
    assert is_in(pattern, "a" * 5_000 + "!") is False
    assert is_in(pattern, "x" * 5_000) is False


@pytest.mark.parametrize("pattern", [".{0,9000}x", "(.{0,90}){0,90}x", r"(\p{L}{0,50}[a-z]{0,50}){200}x"])
def test_what_costs_too_much_goes_elsewhere(pattern: str) -> None:
    """It is told in the end, or nobody can say: never the wrong way, and never at the cost of others."""
    assert is_in(pattern, "y" * 20_000) in (False, None)
    assert is_in(pattern, "y" * 100 + "x") in (True, None)


def test_halves_of_characters_and_strange_dialects_are_not_held_against_anybody() -> None:
    assert is_in("^a$", "\ud800") is not True
    assert is_in("^.$", "\ud800") is not False
    assert is_in("(?=a)", "b") is None
    assert is_in(r"(a)\1", "b") is None


SETS = (
    r"\w",
    r"\W",
    r"[^\w]",
    r"[\w-]",
    r"\d",
    r"\D",
    r"[^\d]",
    r"\s",
    r"\S",
    r"[^\s]",
    r"\p{L}",
    r"\P{L}",
    "(?i)K",
    ".",
)


@pytest.mark.parametrize("pattern", SETS)
def test_sets_hold_what_they_hold_in_grammars(pattern: str) -> None:
    """Letters and digits are ASCII's in schemas, and Unicode's in expressions that bind a whole text."""
    schema = GrammarCompiler().from_schema({"type": "string", "pattern": f"^(?:{pattern})$"})
    whole = GrammarCompiler().from_regex(pattern)
    for char in ("a", "k", "\u212a", "é", "٣", "7", "_", "-", " ", "\u00a0", "\u2003", "🦙"):
        assert is_in(f"^(?:{pattern})$", char) == accepts(
            schema.grammar, json.dumps(char, ensure_ascii=False)
        )
        assert matches(pattern, char) == accepts(whole.grammar, char)
