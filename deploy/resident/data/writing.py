"""Things to write down: JSON, lists, a verse, a filled form, an answer found in a given text."""

import json
from random import Random
from typing import Any

from deploy.resident.data.facts import a_fact
from deploy.resident.data.samples import Chat, Sample, assistant, user
from deploy.resident.data.stories import a_story
from deploy.resident.data.words import (
    ADJECTIVES,
    ANIMALS,
    CITIES,
    COLOURS,
    FOODS,
    FRUITS,
    NAMES,
    OBJECTS,
    PLACES,
    a_city,
    a_name,
    a_word,
    article,
    made_up_word,
)

LISTS: dict[str, list[str]] = {
    "animals": ANIMALS,
    "colours": COLOURS,
    "colors": COLOURS,
    "fruits": FRUITS,
    "cities": CITIES,
    "names": NAMES,
    "objects": OBJECTS,
    "foods": FOODS,
    "places": PLACES,
    "things": OBJECTS,
}
_NUMBERS = "one two three four five six seven eight nine ten".split()


def _field(rng: Random) -> tuple[str, Any]:
    choices: tuple[tuple[str, Any], ...] = (
        ("name", a_name(rng)),
        ("age", rng.randint(1, 99)),
        ("city", a_city(rng)),
        ("colour", rng.choice(COLOURS)),
        ("animal", rng.choice(ANIMALS)),
        ("food", rng.choice(FOODS)),
        ("price", rng.randint(1, 500)),
        ("count", rng.randint(0, 50)),
        ("title", f"{rng.choice(ADJECTIVES)} {rng.choice(OBJECTS)}"),
        ("size", rng.choice(("small", "medium", "large"))),
        (made_up_word(rng), a_word(rng)),
        (made_up_word(rng), rng.randint(0, 99)),
        (rng.choice(("open", "done", "active")), rng.random() < 0.5),
    )
    return rng.choice(choices)


def _fields(rng: Random) -> dict[str, Any]:
    return dict(_field(rng) for _ in range(rng.randint(1, 4)))


def _written(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def json_objects(rng: Random) -> Sample:
    """A JSON object from fields and values given in words."""
    fields = _fields(rng)
    keys = _joined(list(fields))
    values = ", ".join(_written(value) for value in fields.values())
    pairs = ", ".join(f"{key} {_written(value)}" for key, value in fields.items())
    equals = ", ".join(f"{key}: {_written(value)}" for key, value in fields.items())
    ask = rng.choice(
        (
            f"Write JSON with {keys} for {values}.",
            f"Write JSON with {keys} for {values}",
            f"Give me a JSON object with {keys} for {values}.",
            f"Make JSON with {pairs}.",
            f"Write a JSON object with {pairs}.",
            f"Write this as JSON: {equals}",
            f"JSON, please: {equals}",
            f"Turn this into JSON: {pairs}.",
        )
    )
    thought = f"The user wants JSON. The keys are {keys}." if rng.random() < 0.1 else None
    return Chat([user(ask), assistant(json.dumps(fields, ensure_ascii=False), thought)])


def _joined(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def json_invented(rng: Random) -> Sample:
    """A JSON object whose values the model makes up."""
    name, animal = rng.choice(NAMES), rng.choice(ANIMALS)
    ask, value = rng.choice(
        (
            (
                "Write a JSON object for a person.",
                {"name": name, "age": rng.randint(1, 90), "city": rng.choice(CITIES)},
            ),
            (
                "Describe a person in JSON.",
                {"name": name, "age": rng.randint(1, 90), "city": rng.choice(CITIES)},
            ),
            ("Write a small JSON object.", {"name": name, "age": rng.randint(1, 90)}),
            ("Answer in JSON.", {"answer": "yes"}),
            ("Give me some JSON.", {"name": name, "age": rng.randint(1, 90)}),
            ("Describe an animal in JSON.", {"animal": animal, "colour": rng.choice(COLOURS)}),
            ("Write JSON for an animal.", {"animal": animal, "colour": rng.choice(COLOURS)}),
        )
    )
    return Chat([user(ask), assistant(json.dumps(value))])


def json_lists(rng: Random) -> Sample:
    """A JSON list, of given words or of invented ones."""
    if rng.random() < 0.5:
        words = [a_word(rng) for _ in range(rng.randint(1, 5))]
        ask = f"Write a JSON list of {', '.join(words)}."
    else:
        kind = rng.choice(list(LISTS))
        count = rng.randint(2, 6)
        words = rng.sample(LISTS[kind], count)
        ask = f"Write a JSON list of {rng.choice((str(count), _NUMBERS[count - 1]))} {kind}."
    return Chat([user(ask), assistant(json.dumps(words))])


def lists(rng: Random) -> Sample:
    """A number of things of one kind, in a line or as bullets."""
    kind = rng.choice(list(LISTS))
    count = rng.randint(2, 10)
    words = rng.sample(LISTS[kind], count)
    number = rng.choice((str(count), _NUMBERS[count - 1]))
    if rng.random() < 0.6:
        ask = rng.choice(
            (
                f"Name {number} {kind}.",
                f"List {number} {kind}.",
                f"Give me {number} {kind}.",
                f"Tell me {number} {kind}.",
            )
        )
        return Chat([user(ask), assistant(f"{_joined(words)}.")])
    ask = rng.choice((f"Write a list of {number} {kind}.", f"Make a list of {number} {kind}."))
    return Chat([user(ask), assistant("\n".join(f"- {word}" for word in words))])


def poems(rng: Random) -> Sample:
    """A verse of four lines."""
    word = rng.choice(rng.choice((ANIMALS, OBJECTS, FRUITS)))
    first, second, third = rng.sample(ADJECTIVES, 3)
    place, place2 = rng.sample(PLACES, 2)
    rhyme, rhyme2 = rng.choice(
        (("day", "way"), ("night", "light"), ("sea", "me"), ("blue", "you"), ("sun", "run"), ("tree", "free"))
    )
    lines = (
        f"The {word} is {first}, the {word} is {second},",
        f"it came to the {place} one {rhyme},"
        if rhyme in ("day", "night")
        else f"it sat by the {place} and the {rhyme},",
        f"it found a {third} {place2} there,",
        f"and sang to the wind of the {rhyme2}.",
    )
    ask = rng.choice(
        (
            "Write a poem about {a}.",
            "Write a short poem about {a}.",
            "A poem about {a}, please.",
            "Tell me a poem about {a}.",
        )
    )
    return Chat([user(ask.format(a=f"the {word}")), assistant("\n".join(lines))])


def reading(rng: Random) -> Sample:
    """A question about a text that stands above it, or beside it."""
    story = a_story(rng)
    other = a_fact(rng)
    ask, answer = rng.choice(
        (
            ("What is the name of the hero?", f"The hero is {story.name}."),
            ("Who is the story about?", f"The story is about {story.name}."),
            ("What animal is the story about?", f"The story is about {article(story.animal)}."),
            (rng.choice(other.questions), other.answer),
        )
    )
    texts = [story.text] + [a_story(rng).text for _ in range(rng.choice((0, 0, 0, 1, 3)))] * (
        answer == other.answer
    )
    text = "\n\n".join(texts)
    lead = rng.choice(("Here is a story: ", "Read this: ", "", "Story: "))
    return Chat([user(f"{lead}{text}\n\n{ask}"), assistant(answer)])
