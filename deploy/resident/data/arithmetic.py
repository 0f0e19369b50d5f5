"""Small sums, comparisons and counting, with the working shown when the model thinks."""

from dataclasses import dataclass
from random import Random

from deploy.resident.data.phrasing import vary
from deploy.resident.data.samples import Chat, Sample, assistant, user
from deploy.resident.data.words import FOODS, OBJECTS, a_name

_ASK = {
    "+": (
        "What is {a} + {b}?",
        "{a} + {b} = ?",
        "{a} + {b}",
        "{a}+{b}",
        "What is {a}+{b}?",
        "{a}+{b}=?",
        "How much is {a} + {b}?",
        "What is {a} plus {b}?",
        "How much is {a} plus {b}?",
        "Add {a} and {b}.",
        "Calculate {a} + {b}.",
        "What is the sum of {a} and {b}?",
        "Compute {a} + {b}.",
    ),
    "-": (
        "What is {a} - {b}?",
        "{a} - {b} = ?",
        "{a} - {b}",
        "{a}-{b}",
        "What is {a}-{b}?",
        "How much is {a} - {b}?",
        "What is {a} minus {b}?",
        "How much is {a} minus {b}?",
        "Calculate {a} - {b}.",
        "Take {b} away from {a}.",
        "Compute {a} - {b}.",
    ),
    "*": (
        "What is {a} * {b}?",
        "{a} * {b} = ?",
        "{a} * {b}",
        "What is {a} times {b}?",
        "How much is {a} times {b}?",
        "Multiply {a} by {b}.",
        "Calculate {a} * {b}.",
        "What is {a} x {b}?",
        "Compute {a} * {b}.",
    ),
}
_THINK = {
    "+": ("I add {a} and {b}. The sum is {c}.", "{a} plus {b} makes {c}."),
    "-": ("I take {b} from {a}. {c} is left.", "{a} minus {b} makes {c}."),
    "*": ("I multiply {a} by {b}. That makes {c}.", "{a} times {b} makes {c}."),
}


@dataclass(frozen=True)
class Operation:
    """Two small numbers and what to do with them."""

    a: int
    sign: str
    b: int

    @property
    def result(self) -> int:
        return {"+": self.a + self.b, "-": self.a - self.b, "*": self.a * self.b}[self.sign]

    @property
    def answer(self) -> str:
        return f"{self.a} {self.sign} {self.b} = {self.result}"

    def fill(self, form: str) -> str:
        return form.format(a=self.a, b=self.b, c=self.result)


def an_operation(rng: Random) -> Operation:
    """Sums of 0 to 20, differences that stay at 0 or above, products of 0 to 10."""
    sign = rng.choice("++-*")
    if sign == "*":
        return Operation(rng.randint(0, 10), sign, rng.randint(0, 10))
    a, b = rng.randint(0, 20), rng.randint(0, 20)
    return Operation(max(a, b), sign, min(a, b)) if sign == "-" else Operation(a, sign, b)


def question_of(rng: Random, operation: Operation) -> str:
    return operation.fill(rng.choice(_ASK[operation.sign]))


def thought_of(rng: Random, operation: Operation) -> str:
    return operation.fill(rng.choice(_THINK[operation.sign]))


def sums(rng: Random) -> Sample:
    """One sum."""
    operation = an_operation(rng)
    return Chat([user(vary(rng, question_of(rng, operation))), assistant(operation.answer)])


def sums_thinking(rng: Random) -> Sample:
    """One sum, thought through first."""
    operation = an_operation(rng)
    question = vary(rng, question_of(rng, operation))
    return Chat([user(question), assistant(operation.answer, thought_of(rng, operation))])


def word_problems(rng: Random) -> Sample:
    """A person has some things, gets some, gives some away; thinking shows the steps."""
    name, thing = (
        a_name(rng),
        rng.choice((*(f"{word}s" for word in OBJECTS if word[-1] not in "xs"), *FOODS[15:])),
    )
    have, get = rng.randint(1, 10), rng.randint(1, 10)
    question, steps = f"{name} has {have} {thing}", f"{name} starts with {have}."
    total = have + get
    question += rng.choice(
        (f" and gets {get} more.", f" and buys {get} more.", f". {name} finds {get} more.")
    )
    steps += f" {have} + {get} = {total}."
    if rng.random() < 0.4:
        away = rng.randint(1, min(total - 1, 9))
        question += rng.choice((f" Then {name} gives {away} away.", f" Then {name} loses {away}."))
        steps += f" {total} - {away} = {total - away}."
        total -= away
    question += f" How many {thing} does {name} have now?"
    thought = steps if rng.random() < 0.7 else None
    return Chat([user(question), assistant(f"{name} has {total} {thing}.", thought)])


def comparisons(rng: Random) -> Sample:
    """The larger or the smaller of two numbers."""
    a, b = rng.sample(range(101), 2)
    larger = rng.random() < 0.5
    word = rng.choice(("larger", "bigger", "greater") if larger else ("smaller", "less"))
    right = max(a, b) if larger else min(a, b)
    question = rng.choice((f"Which number is {word}, {a} or {b}?", f"Which is {word}: {a} or {b}?"))
    thought = f"I compare {a} and {b}. {right} is {word}." if rng.random() < 0.4 else None
    return Chat([user(question), assistant(f"{right} is {word} than {a + b - right}.", thought)])


def counting(rng: Random) -> Sample:
    """Count up or down between two numbers."""
    start = rng.choice((1, 1, 1, 0, rng.randint(2, 40)))
    end = start + rng.choice((2, 4, 4, 9, 9, 19, rng.randint(2, 30)))
    first, last, step = (start, end, 1) if rng.random() < 0.8 else (end, start, -1)
    forms = [
        f"Count from {first} to {last}.",
        f"Count {first} to {last}.",
        f"Write the numbers from {first} to {last}.",
    ]
    if first == 1:
        forms.append(f"Count to {last}.")
    numbers = ", ".join(str(number) for number in range(first, last + step, step))
    thought = f"I count from {first} to {last}." if rng.random() < 0.1 else None
    return Chat([user(vary(rng, rng.choice(forms))), assistant(f"{numbers}.", thought)])
