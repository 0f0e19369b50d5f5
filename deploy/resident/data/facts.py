"""Facts in many phrasings: a relation has a table, its questions and one form of answer."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from random import Random

from deploy.resident.data import fact_tables as tables


@dataclass(frozen=True)
class Fact:
    """One thing to know: the ways to ask, the full answer, the short one, and the thought before it."""

    questions: tuple[str, ...]
    answer: str
    short: str
    thought: str


@dataclass(frozen=True)
class Relation:
    """A table with its wording; `{k}` and `{v}` stand for key and value."""

    table: dict[str, str]
    questions: str
    answer: str
    thought: str

    def facts(self) -> Iterator[Fact]:
        for key, value in self.table.items():
            questions = tuple(form.strip().format(k=key, v=value) for form in self.questions.split("|"))
            answer = self.answer.format(k=key, v=value)
            short = value[0].upper() + value[1:]
            thought = self.thought.format(k=key, v=value)
            yield Fact(questions, answer[0].upper() + answer[1:], short, thought)


def _follow(names: list[str], step: int) -> dict[str, str]:
    return {name: names[(index + step) % len(names)] for index, name in enumerate(names)}


def _with_article(table: dict[str, str]) -> dict[str, str]:
    return {key: ("an " if value[0] in "aeiou" else "a ") + value for key, value in table.items()}


def _both_ways(table: dict[str, str]) -> dict[str, str]:
    return {value: key for key, value in table.items()} | table


def _language(name: str, table: dict[str, str]) -> Relation:
    return Relation(
        table,
        f"How do you say {{k}} in {name}?|What is {{k}} in {name}?|What is the {name} word for {{k}}?|"
        f"Translate {{k}} into {name}.|Say {{k}} in {name}.|{{k}} in {name}?",
        f"The {name} word for {{k}} is {{v}}.",
        f"I am asked for a word in {name}. In {name}, {{k}} is {{v}}.",
    )


_LETTERS = {chr(65 + index): chr(66 + index) for index in range(25)}
_WORDS = {str(number): word for number, word in enumerate(tables.NUMBER_WORDS)}

RELATIONS = (
    Relation(
        tables.CAPITALS,
        "What is the capital of {k}?|Capital of {k}?|Tell me the capital of {k}.|What's the capital of {k}?|"
        "Which city is the capital of {k}?|Name the capital of {k}.|Do you know the capital of {k}?|"
        "What is the capital city of {k}?|{k}: what is the capital?",
        "The capital of {k} is {v}.",
        "I am asked about {k}. The capital of {k} is {v}.",
    ),
    Relation(
        tables.CAPITALS,
        "{v} is the capital of which country?|Which country has the capital {v}?|What country is {v} the capital of?|"
        "In which country is {v}?|Where is {v}?",
        "{v} is the capital of {k}.",
        "I am asked about the city {v}. It is the capital of {k}.",
    ),
    Relation(
        tables.CONTINENTS,
        "On which continent is {k}?|Which continent is {k} in?|Where is {k}?|What continent is {k} on?|"
        "Where is {k} located?",
        "{k} is in {v}.",
        "I am asked where {k} is. It is in {v}.",
    ),
    Relation(
        tables.COLOURS,
        "What colour is {k}?|What color is {k}?|Which colour is {k}?|Tell me the colour of {k}.|"
        "What is the colour of {k}?|What is the color of {k}?|The colour of {k}?",
        "{k} is {v}.",
        "I am asked about a colour. The colour of {k} is {v}.",
    ),
    Relation(
        _both_ways(tables.OPPOSITES),
        "What is the opposite of {k}?|Opposite of {k}?|Tell me the opposite of {k}.|What's the opposite of {k}?|"
        "Name the opposite of {k}.|Which word is the opposite of {k}?|Give me the opposite of {k}.",
        "The opposite of {k} is {v}.",
        "I need a word that means the reverse of {k}. That is {v}.",
    ),
    Relation(
        tables.SOUNDS,
        "What sound does a {k} make?|What does a {k} say?|Which sound does a {k} make?|What noise does a {k} make?|"
        "How does a {k} sound?",
        "A {k} says {v}.",
        "I am asked about the sound of a {k}. It goes {v}.",
    ),
    Relation(
        tables.BABIES,
        "What is a baby {k} called?|What do you call a baby {k}?|What is the name for a young {k}?|"
        "What do we call a young {k}?|Baby {k}?",
        "A baby {k} is called a {v}.",
        "I am asked about the young of a {k}. It is a {v}.",
    ),
    Relation(
        tables.LEGS,
        "How many legs does {k} have?|How many legs has {k}?|Tell me how many legs {k} has.|"
        "What number of legs does {k} have?",
        "{k} has {v} legs.",
        "I count the legs of {k}. There are {v}.",
    ),
    Relation(
        _with_article(tables.KINDS),
        "What is {k}?|What kind of thing is {k}?|Tell me what {k} is.|What sort of thing is {k}?",
        "{k} is {v}.",
        "I am asked what {k} is. It is {v}.",
    ),
    Relation(
        tables.HOMES,
        "Where does {k} live?|What is the home of {k}?|Tell me where {k} lives.|In which place does {k} live?",
        "{k} lives in {v}.",
        "I am asked for the home of {k}. It is {v}.",
    ),
    Relation(
        tables.JOBS,
        "Who {k}?|Tell me who {k}.|What is the name for someone who {k}?|What do you call a person who {k}?",
        "{v} {k}.",
        "I think of a person who {k}. {v} does this.",
    ),
    _language("French", tables.FRENCH),
    _language("Spanish", tables.SPANISH),
    _language("German", tables.GERMAN),
    Relation(
        tables.PLURALS,
        "What is the plural of {k}?|Plural of {k}?|Tell me the plural of {k}.|One {k}, two what?",
        "The plural of {k} is {v}.",
        "I need the word for more than one {k}. That is {v}.",
    ),
    Relation(
        _follow(tables.DAYS, 1) | _follow(tables.MONTHS, 1),
        "What comes after {k}?|What is after {k}?|Which one comes after {k}?|What follows {k}?",
        "{v} comes after {k}.",
        "I go forward from {k}. Next is {v}.",
    ),
    Relation(
        _follow(tables.DAYS, -1) | _follow(tables.MONTHS, -1),
        "What comes before {k}?|What is before {k}?|Which one comes before {k}?",
        "{v} comes before {k}.",
        "I go back from {k}. The one before is {v}.",
    ),
    Relation(
        _LETTERS,
        "What letter comes after {k}?|Which letter comes after {k}?|What is the next letter after {k}?",
        "The letter {v} comes after {k}.",
        "I say the alphabet: {k}, {v}.",
    ),
    Relation(
        _WORDS,
        "How do you write {k} in words?|Write {k} as a word.|What is {k} in words?|Spell the number {k}.",
        "The number {k} in words is {v}.",
        "I am asked for the word of the number {k}. It is {v}.",
    ),
)


@cache
def all_facts() -> tuple[tuple[Fact, ...], ...]:
    """The facts, grouped by relation."""
    groups = [tuple(relation.facts()) for relation in RELATIONS]
    groups.append(
        tuple(
            Fact((question,), answer, short[0].upper() + short[1:], f"I know this one. {answer}")
            for question, (short, answer) in tables.SINGLE.items()
        )
    )
    return tuple(groups)


@cache
def _weights() -> tuple[float, ...]:
    return tuple(len(group) ** 0.7 * (2.0 if index == 0 else 1.0) for index, group in enumerate(all_facts()))


def a_fact(rng: Random) -> Fact:
    """A fact, large relations a little less often than their size."""
    (group,) = rng.choices(all_facts(), weights=_weights())
    return rng.choice(group)
