"""Grammars: what is written is what is meant, and what is wrong is shown where it is."""

import pytest
from caravan.grammars.compiler import GrammarCompiler, GrammarError
from caravan.grammars.constraint import Constraint
from llguidance import LLMatcher, LLTokenizer


@pytest.fixture(scope="module")
def grammars() -> GrammarCompiler:
    return GrammarCompiler()


def accepts(constraint: Constraint, text: str) -> bool:
    """Whether a text as a whole satisfies a constraint."""
    matcher = LLMatcher(LLTokenizer("byte"), constraint.grammar, log_level=0)
    return all(matcher.consume_token(byte) for byte in text.encode()) and matcher.is_accepting()


@pytest.mark.parametrize(
    "choice", ["plain", "", '/"\\', "\x00\x7f", "ä\n日本🙂", "a|b", "^$", "\\d", "(?i)x", "%"]
)
def test_choices_are_taken_literally(grammars: GrammarCompiler, choice: str) -> None:
    constraint = grammars.from_choices([choice, "other"])
    assert accepts(constraint, choice)
    assert accepts(constraint, "other")
    assert not accepts(constraint, choice + "others")
    assert not accepts(constraint, "3")


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        ("a+", ["a", "aaa"], ["", "b", "ab"]),
        ("^a|b$", ["a", "b"], ["ab"]),
        ("/", ["/"], ["\\/"]),
        ("a\nb", ["a\nb"], ["a\\nb"]),
        ('"\\\\"', ['"\\"'], ['"']),
        (".", ["x", "é"], ["\n", "xy"]),
        ("(?s).", ["\n"], [""]),
        ("(?i)ab", ["aB", "AB"], ["ac"]),
        ("\\p{Greek}{2}", ["αω"], ["ab"]),
    ],
)
def test_a_pattern_is_for_the_whole_text(
    grammars: GrammarCompiler, pattern: str, good: list[str], bad: list[str]
) -> None:
    constraint = grammars.from_regex(pattern)
    assert [accepts(constraint, text) for text in good] == [True] * len(good)
    assert [accepts(constraint, text) for text in bad] == [False] * len(bad)


def test_white_space_in_json_is_bounded(grammars: GrammarCompiler) -> None:
    constraint = grammars.from_schema({"type": "array", "items": {"type": "null"}})
    assert accepts(constraint, "[null,null]")
    assert accepts(constraint, "[\n        null, null\n]")
    assert not accepts(constraint, "[" + 99 * " " + "null]")
    assert not accepts(constraint, "[\n\n\nnull]")


@pytest.mark.parametrize(
    ("pattern", "line", "column"),
    [("a[", 1, 2), ("(", 1, 1), ("ab\nc(?=d)", 2, 2), ("a{3,1}", 1, 2), ("é[", 1, 2)],
)
def test_the_place_in_a_pattern(grammars: GrammarCompiler, pattern: str, line: int, column: int) -> None:
    with pytest.raises(GrammarError) as caught:
        grammars.from_regex(pattern)
    assert (caught.value.line, caught.value.column) == (line, column)


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("start: foo", 1, 8),
        ("start: foo\nfoo: /[/", 2, 6),
        ('start: "a" (\n', 1, 13),
        ('start: "a"{3,1}', 1, 8),
    ],
)
def test_the_place_in_a_grammar(grammars: GrammarCompiler, text: str, line: int, column: int) -> None:
    with pytest.raises(GrammarError) as caught:
        grammars.from_lark(text)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("text", ["start: <|im_end|>", "start: <[5]>", 'start: "a" <any>', "start: <[^1]>"])
def test_grammars_speak_of_text_alone(grammars: GrammarCompiler, text: str) -> None:
    with pytest.raises(GrammarError, match="special tokens"):
        grammars.from_lark(text)


def test_grammars_of_this_server_may_name_tokens(grammars: GrammarCompiler) -> None:
    constraint = grammars.from_tool_grammar('start: <[151657]> %json {"type": "object"} <[151658]>', ("<t>",))
    assert constraint.after == ("<t>",)
    for text, message in [
        ("start: <[5]> foo", "unknown name"),
        ('start: %json {"type": "x"}', "Invalid type"),
    ]:
        with pytest.raises(GrammarError, match=message):
            grammars.from_tool_grammar(text)


@pytest.mark.parametrize("text", ['start: start "a"', "start: /[^\\s\\S]/"])
def test_what_nothing_satisfies_is_refused(grammars: GrammarCompiler, text: str) -> None:
    with pytest.raises(GrammarError, match="nothing satisfies it"):
        grammars.from_lark(text)


@pytest.mark.parametrize("count", [3000, 9000])
def test_long_chains_of_rules_do_not_end_the_process(grammars: GrammarCompiler, count: int) -> None:
    names = ["start", *(f"R{i:X}".translate(str.maketrans("0123456789", "GHIJKLMNOP")) for i in range(count))]
    rules = [f"{name}: {inner}" for name, inner in zip(names, [*names[1:], '"a"'], strict=True)]
    grammars.from_lark("\n".join(rules))
