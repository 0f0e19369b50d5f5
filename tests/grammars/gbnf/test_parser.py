"""What is no grammar, said with the place; and texts of any size in bounded time and stack."""

import contextlib
import time

import pytest
from caravan.grammars.compiler import GrammarCompiler, GrammarError
from caravan.grammars.constraint import Constraint

GRAMMARS = GrammarCompiler()


def compiled(text: str) -> Constraint:
    return GRAMMARS.from_gbnf(text)


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("", 1, 1, "no rule 'root'"),
        ('a ::= "a"', 1, 1, "no rule 'root'"),
        ('root := "a"', 1, 6, "'::=' is expected"),
        ('root ::= "a"\nb ::= c', 2, 7, "no rule 'c'"),
        ('root ::= "a', 1, 12, "the text ends"),
        ("root ::= [a", 1, 12, "the text ends"),
        ('root ::= "\\q"', 1, 11, "no escape '\\q'"),
        ("root ::= [\\xg0]", 1, 11, "2 hexadecimal digits"),
        ('root ::= "\\u12"', 1, 11, "4 hexadecimal digits"),
        ('root ::= ("a"\n  | "b"', 2, 8, "')' is expected"),
        ('root ::= "a" )', 1, 14, "end of the line"),
        ("root ::= *", 1, 10, "nothing before '*'"),
        ('root ::= "a" | +', 1, 16, "nothing before '+'"),
        ('root ::= "a"{,3}', 1, 14, "a number is expected"),
        ('root ::= "a"{3', 1, 15, "'}' is expected"),
        ('root ::= "a"{3,1}', 1, 13, "at most 1 is less than at least 3"),
        ('root ::= "a"{2001}', 1, 13, "more than 2000 times"),
        ('root ::= "a"{1,2001}', 1, 13, "more than 2000 times"),
        ('root ::= "a"{99999999999999999999}', 1, 13, "more than 2000 times"),
        ('root ::= "a"{100}{100}', 1, 18, "more than 2000 times"),
        ('root ::= root "a" | "b"', 1, 1, "left recursion"),
        ('root ::= "a"\nb ::= c? d\nc ::= "c"\nd ::= b "x"', 2, 1, "left recursion"),
        ("root ::= [z-a]", 1, 1, "nothing satisfies it"),
        ('root ::= "a" root', 1, 1, "nothing satisfies it"),
        ("root ::= <think>", 1, 10, "tokens cannot be named here"),
        ("root ::= <think", 1, 10, "no end"),
        ('root ::= !"a"', 1, 11, "'<' is expected"),
        ('root ::= "\0', 1, 12, "the text ends"),
        ("root ::= \0", 1, 10, "end of the line"),
    ],
)
def test_the_place_of_a_mistake(text: str, line: int, column: int, message: str) -> None:
    with pytest.raises(GrammarError) as caught:
        compiled(text)
    assert message in caught.value.message
    assert (caught.value.line, caught.value.column) == (line, column)


@pytest.mark.parametrize(
    "text",
    [
        "root ::= " + "(" * 30_000 + '"a"' + ")" * 30_000,
        "root ::= " + "(" * 60_000,
        "root ::= " + '"a" ' * 15_000,
        "root ::= " + "|".join(f'"{i}"' for i in range(7000)),
        "root ::= r0\n" + "".join(f"r{i} ::= r{i + 1}\n" for i in range(4000)) + 'r4000 ::= "a"',
        "root ::= r0\n" + "".join(f'r{i} ::= "a" r{i + 1}?\n' for i in range(3000)) + 'r3000 ::= "a" root',
        "root ::= r0\n" + "".join(f"r{i} ::= r{i + 1} r{i + 1}\n" for i in range(60)) + 'r60 ::= "a"',
        "root ::= " + '"a"? ' * 12_000,
        "root ::= " + "[a-z]{2000} " * 200,
        "root ::= " + "(" * 12 + '"a"' + "{10})" * 12,
        "root ::= x | y\n" + 'x ::= "a"* x? "b" | "c" y\ny ::= [a-c]* x* y? "d"',
        "root ::= " + "a | " * 10_000 + 'a\na ::= "(" root ")" | "x"',
        'root ::= "' + "é🙂" * 20_000 + '"',
    ],
    ids=lambda text: text[:30],
)
def test_large_grammars_take_bounded_time(text: str) -> None:
    begun = time.process_time()
    with contextlib.suppress(GrammarError):
        compiled(text)
    # Processor time, so a busy machine does not count; the limit of a request is five seconds.
    assert time.process_time() - begun < 30
