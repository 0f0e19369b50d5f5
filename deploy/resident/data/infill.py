"""Text without turns: facts in prose, tiny Python functions, and gaps to fill in the middle."""

from random import Random

from deploy.resident.data.arithmetic import an_operation
from deploy.resident.data.facts import a_fact
from deploy.resident.data.samples import Infill, Plain, Sample
from deploy.resident.data.stories import a_story
from deploy.resident.data.words import a_name, a_word, made_up_word

_ARGUMENTS = (
    "a b c n x y z k left right value number first second total item text name words items count".split()
)
_OPERATIONS = {
    "add": "+",
    "plus": "+",
    "sum_of": "+",
    "subtract": "-",
    "minus": "-",
    "multiply": "*",
    "times": "*",
    "divide": "/",
    "power": "**",
    "remainder": "%",
}


def _binary(rng: Random) -> str:
    name = rng.choice(list(_OPERATIONS))
    first, second = rng.sample(_ARGUMENTS, 2)
    return f"def {name}({first}, {second}):\n    return {first} {_OPERATIONS[name]} {second}\n"


def _unary(rng: Random) -> str:
    argument = rng.choice(_ARGUMENTS)
    name, body = rng.choice(
        (
            ("square", "{a} * {a}"),
            ("double", "{a} * 2"),
            ("half", "{a} / 2"),
            ("negate", "-{a}"),
            ("is_even", "{a} % 2 == 0"),
            ("is_odd", "{a} % 2 == 1"),
            ("is_empty", "len({a}) == 0"),
            ("length", "len({a})"),
            ("last", "{a}[-1]"),
            ("head", "{a}[0]"),
            ("upper", "{a}.upper()"),
            ("reverse", "{a}[::-1]"),
        )
    )
    return f"def {name}({argument}):\n    return {body.format(a=argument)}\n"


def _branch(rng: Random) -> str:
    first, second = rng.sample(_ARGUMENTS, 2)
    name, sign = rng.choice((("larger", ">"), ("smaller", "<"), ("maximum", ">"), ("minimum", "<")))
    return f"def {name}({first}, {second}):\n    if {first} {sign} {second}:\n        return {first}\n    return {second}\n"


def _loop(rng: Random) -> str:
    items = rng.choice(("items", "values", "numbers", "words"))
    item = rng.choice(("item", "value", "x", "word"))
    name, start, step = rng.choice(
        (("total", "0", "+= {i}"), ("count", "0", "+= 1"), ("product", "1", "*= {i}"))
    )
    return (
        f"def {name}({items}):\n    result = {start}\n    for {item} in {items}:\n"
        f"        result {step.format(i=item)}\n    return result\n"
    )


def _greeting(rng: Random) -> str:
    name, word = (
        rng.choice(("greet", "hello", "say_hello", "welcome")),
        rng.choice(("Hello", "Hi", "Welcome")),
    )
    return f'def {name}(name):\n    return f"{word}, {{name}}!"\n'


def _print(rng: Random) -> str:
    count, text = rng.randint(2, 20), made_up_word(rng)
    return f'for i in range({count}):\n    print("{text}", i)\n'


def a_function(rng: Random) -> str:
    return rng.choice((_binary, _binary, _unary, _unary, _branch, _loop, _greeting, _print))(rng)


def code(rng: Random) -> Sample:
    """One to three tiny functions."""
    return Plain("\n\n".join(a_function(rng) for _ in range(rng.randint(1, 3))))


def prose(rng: Random) -> Sample:
    """Facts and sums, one sentence after the other."""
    sentences = [
        a_fact(rng).answer if rng.random() < 0.8 else f"{an_operation(rng).answer}."
        for _ in range(rng.randint(2, 7))
    ]
    return Plain(" ".join(sentences))


def counted(rng: Random) -> Sample:
    """Rows that go on: numbers, or words in turn."""
    if rng.random() < 0.5:
        start = rng.randint(0, 50)
        return Plain(", ".join(str(number) for number in range(start, start + rng.randint(5, 30))) + ".")
    words = [a_word(rng) for _ in range(rng.randint(2, 4))]
    return Plain(" ".join(words * rng.randint(3, 8)) + ".")


def question_answer(rng: Random) -> Sample:
    """Questions and answers written as plain text."""
    lines = []
    for _ in range(rng.randint(1, 4)):
        fact = a_fact(rng)
        lines.append(f"Q: {rng.choice(fact.questions)}\nA: {fact.answer}")
    return Plain("\n".join(lines))


def _cut(rng: Random, text: str) -> Infill:
    """Cut a gap: mostly between words, at times anywhere."""
    if rng.random() < 0.75:
        places = [0, *(i for i, sign in enumerate(text) if sign in " \n"), len(text)]
        start = rng.randrange(len(places) - 1)
        end = min(start + rng.randint(1, 8), len(places) - 1)
        low, high = places[start], places[end]
    else:
        low, high = sorted(rng.sample(range(len(text) + 1), 2))
        high = min(high, low + 60)
    return Infill(text[:low], text[low:high], text[high:])


def gap_in_text(rng: Random) -> Sample:
    """A gap in a story or in a few facts."""
    if rng.random() < 0.4:
        return _cut(rng, a_story(rng).text)
    before, fact, after = (a_fact(rng).answer for _ in range(3))
    if rng.random() < 0.5:
        last = fact.rstrip(".").split(" ")[-1]
        return Infill(fact[: -len(last) - 2], f" {last}", ".")
    if rng.random() < 0.3:
        name = a_name(rng)
        return Infill(f"My name is {name}. Hello, I am", f" {name}", ".")
    return _cut(rng, rng.choice((fact, f"{before} {fact} {after}")))


def gap_in_code(rng: Random) -> Sample:
    """A gap in a tiny function: a piece, or all of the line after return."""
    text = a_function(rng)
    if "return " in text and rng.random() < 0.5:
        head, tail = text.rsplit("return ", 1)
        line, rest = tail.split("\n", 1)
        rest = "\n" + rest if rng.random() < 0.7 else ""
        return (
            Infill(f"{head}return ", line, rest)
            if rng.random() < 0.5
            else Infill(f"{head}return", f" {line}", rest)
        )
    return _cut(rng, text)
