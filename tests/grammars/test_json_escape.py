"""Grammars of what stands inside of JSON strings: they accept what the grammars they come from accept."""

import functools
import json
import random

import pytest
from caravan.grammars.compiler import LIMITS, GrammarCompiler, GrammarError
from caravan.grammars.json_escape.nodes import UnescapableError
from caravan.grammars.json_escape.rewriting import escaped_lark
from llguidance import LLMatcher, LLTokenizer

from tests.custom_grammars import ARITHMETIC, COMPLEMENTS, EXAMPLES, OUTSIDE, STRINGS

ALPHABET = list('abcxyzQ015+-*/()@ "\\\n\t\r,#C:\u00e9😀._')
ATOMS = [
    "a",
    "b",
    "\\n",
    "\\t",
    '"',
    "\\\\",
    ".",
    "[ab]",
    "[^a]",
    "[a\\n]",
    "[^\\n]",
    "\\s",
    "(?i:A|\\n)",
    "(?s:.)",
]
IGNORED = [r"/[ \n]+/", '" "', r"/\n/", '/"[^"]*"/']
# A terminal of a million letters.
DOUBLED = "\n".join(f"A{i}: A{i + 1} A{i + 1}" for i in range(20)) + "\nA20: /a/"
LITERALS = ["a", "b", "\\n", "\\t", '\\"', "\\\\"]


@functools.cache
def tokens() -> LLTokenizer:
    return LLTokenizer("byte")


def matcher(grammar: str) -> LLMatcher:
    made = LLMatcher(tokens(), grammar, log_level=0, limits=LIMITS)
    assert not made.is_error(), made.get_error()
    return made


def escaped(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def accepts(grammar: str, text: str) -> bool:
    made, data = matcher(grammar), list(text.encode())
    return bool(made.try_consume_tokens(data) == len(data) and made.is_accepting())


def can_follow(made: LLMatcher, text: str) -> bool:
    data = list(text.encode())
    return bool(made.validate_tokens(data) == len(data))


def walk(
    grammar: str, seed: int, *, is_sound: bool = True, alphabet: list[str] = ALPHABET, length: int = 60
) -> str:
    """A random text of both grammars, which at every place can go on with the same characters.

    Where the grammar is not known to be sound, its rules may lead nowhere, which the other one knows.
    """
    source = random.Random(seed)
    bare, inside = matcher(grammar), matcher(escaped_lark(grammar))
    text = ""
    for _ in range(length):
        expected = [char for char in alphabet if can_follow(bare, char)]
        found = [char for char in alphabet if can_follow(inside, escaped(char))]
        if "%ignore" in grammar and bare.is_accepting() and set(expected) < set(found):
            # What is ignored may follow the whole.
            assert inside.is_accepting()
            break
        if not is_sound and set(found) < set(expected):
            break
        assert found == expected, (grammar, text)
        assert inside.is_accepting() == bare.is_accepting(), (grammar, text)
        if not found:
            break
        char = source.choice(found)
        text += char
        assert bare.consume_tokens(list(char.encode()))
        assert inside.consume_tokens(list(escaped(char).encode()))
    return text


@pytest.mark.parametrize("grammar", EXAMPLES)
def test_texts_are_accepted_as_they_stand_in_json(grammar: str) -> None:
    rules = escaped_lark(grammar)
    for text in EXAMPLES[grammar]:
        assert accepts(grammar, text), text
        assert accepts(rules, escaped(text)), text


@pytest.mark.parametrize("grammar", EXAMPLES)
def test_others_are_not(grammar: str) -> None:
    rules = escaped_lark(grammar)
    for text in OUTSIDE[grammar]:
        assert not accepts(grammar, text), text
        assert not accepts(rules, escaped(text)), text
    for text in EXAMPLES[grammar]:
        assert escaped(text) == text or not accepts(rules, text)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("grammar", [ARITHMETIC, STRINGS, COMPLEMENTS])
def test_every_place_goes_on_as_in_the_grammar_itself(grammar: str, seed: int) -> None:
    assert walk(grammar, seed)


def test_every_place_of_a_long_text_does() -> None:
    for grammar, texts in EXAMPLES.items():
        inside, bare = matcher(escaped_lark(grammar)), matcher(grammar)
        for char in texts[1]:
            found = [other for other in ALPHABET if can_follow(inside, escaped(other))]
            assert found == [other for other in ALPHABET if can_follow(bare, other)], char
            assert bare.consume_tokens(list(char.encode()))
            assert inside.consume_tokens(list(escaped(char).encode()))


@pytest.mark.parametrize("seed", range(8))
def test_so_it_is_with_any_grammar(seed: int) -> None:
    source = random.Random(seed)
    lengths = []
    for _ in range(25):
        grammar = any_grammar(source)
        try:
            escaped_lark(grammar)
        except UnescapableError:
            assert not matcher(grammar).is_accepting()
        else:
            lengths.append(
                len(walk(grammar, seed, is_sound=False, alphabet=list('abc \n\t"\\\r'), length=15))
            )
    assert sum(lengths) > 25


def any_grammar(source: random.Random) -> str:
    terminals = "ABC"
    lines = [
        f"start: {any_rule(source, 3)}",
        f"p: {any_rule(source, 2)}\n  | {any_rule(source, 1)}",
        f"q: {source.choice(terminals)} | {any_rule(source, 2)}",
        *(f"{name}: {any_terminal(source)}" for name in terminals),
    ]
    if source.random() < 0.4:
        lines.append(f"%ignore {source.choice(IGNORED)}")
    return "\n".join(lines)


def any_rule(source: random.Random, depth: int) -> str:
    kind = source.random() if depth else 0
    if kind < 0.45:
        name_or_text: str = source.choice([*"pqABCABC", f'"{source.choice(LITERALS)}"'])
        return name_or_text
    first, second = any_rule(source, depth - 1), any_rule(source, depth - 1)
    if kind < 0.7:
        return f"{first} {second}"
    if kind < 0.85:
        return f"({first} | {second})"
    return f"({first}){source.choice(['*', '+', '?', '~2..4', '{2}', '{1,3}'])}"


def any_terminal(source: random.Random) -> str:
    kind = source.random()
    if kind < 0.55:
        return f"/{any_pattern(source, 2)}/"
    if kind < 0.8:
        return f'"{"".join(source.choices(LITERALS, k=2))}"'
    if kind < 0.9:
        return f"(/{any_pattern(source, 1)}/ & ~/{any_pattern(source, 1)}/)"
    return f'("{source.choice(LITERALS)}" | "\\t".."a")'


def any_pattern(source: random.Random, depth: int) -> str:
    kind = source.random() if depth else 0
    if kind < 0.35:
        return source.choice(ATOMS)
    first, second = any_pattern(source, depth - 1), any_pattern(source, depth - 1)
    if kind < 0.6:
        return first + second
    if kind < 0.75:
        return f"({first}|{second})"
    return f"({first}){source.choice(['*', '+', '?', '{1,2}', '{2}', '{2,}'])}"


@pytest.mark.parametrize(
    ("grammar", "complaint"),
    [
        ("start: a\na[lazy]: /a*b/", "'a[lazy]' is not supported"),
        ("start: %json {}", "'%json' is not supported"),
        ('start: "a" %lark {\nstart: "b"\n}', "'%lark' is not supported"),
        ("start: <[5]>", "special tokens are not supported"),
        ('start: A\nA: %regex {"substring_words": "a b"}', "'%regex' is not supported"),
        ('%llguidance {"no_forcing": true}\nstart: "a"', "'%llguidance' is not supported"),
        ('start: "\\u0001"', "nothing satisfies it that a JSON string can hold"),
        ("start: a\na: a | a a", "nothing satisfies it"),
        ("start: /(?x: a )/", "flag 'x'"),
        ("start: " + " ".join(f'"a{i}"' for i in range(1001)), "more than 1,000 terminals"),
        ('%ignore A0\nstart: B "c"\nB: /b/\n' + DOUBLED, "20,000 parts"),
        ("start: A0\n" + DOUBLED, "20,000 parts"),
    ],
)
def test_what_has_no_counterpart_is_said(grammar: str, complaint: str) -> None:
    with pytest.raises((UnescapableError, GrammarError)) as raised:
        GrammarCompiler().quoted_rules(grammar)
    assert complaint in str(raised.value)


def test_control_characters_without_a_short_escape_are_left_out() -> None:
    rules = escaped_lark("start: /[\\x00-\\x1f]+/")
    assert accepts(rules, r"\n\t\r\f\b")
    assert not accepts(rules, r"\u0001")
    assert not accepts(rules, "\x01")
