"""Short stories from a grammar: who, where, a wish, an obstacle, a helper, an ending."""

from dataclasses import dataclass
from random import Random

from deploy.resident.data.samples import Chat, Plain, Sample, assistant, user
from deploy.resident.data.words import ADJECTIVES, ANIMALS, COLOURS, FOODS, OBJECTS, PLACES, a_name, article

OPENINGS = (
    "Once upon a time there was {hero} named {name}.",
    "Once there was {hero} called {name}.",
    "There once lived {hero} named {name}.",
    "In a quiet {place} lived {hero} named {name}.",
    "Long ago, near {place2}, there was {hero} called {name}.",
    "{name} was {hero} who lived near {place2}.",
    "Far away, in a small {place}, lived {hero}. Its name was {name}.",
)
WISHES = (
    "{name} wanted to find {thing}.",
    "More than anything, {name} wished for {thing}.",
    "Every day {name} dreamed of {thing}.",
    "One morning {name} set out to look for {thing}.",
    "{name} had lost {thing} and felt {sad}.",
    "{name} wanted to bring {food} to a friend.",
    "One day {name} heard that {thing} was hidden in the {place}.",
    "{name} was {sad} and wanted to see the {place}.",
)
OBSTACLES = (
    "But the way to the {place} was long and dark.",
    "But a big storm came and the path was gone.",
    "But the river was too wide to cross.",
    "But a {other} stood in the way and would not move.",
    "Soon it began to rain, and {name} was cold and wet.",
    "At the {place} the gate was closed.",
    "On the way {name} got lost near the {place}.",
    "But the hill was steep and {name} was very tired.",
    "Then the night came, and {name} could not see a thing.",
)
HELPERS = (
    'Then {friend}, a {kind} {other}, came along and said, "I will help you."',
    "A {kind} {other} named {friend} heard this and came to help.",
    "Just then {name} met {friend} the {other}, who knew the way.",
    '"Do not worry," said {friend} the {other}. "We will do it together."',
    "{friend} the {other} gave {name} a {colour} {tool} and some {food}.",
    "{name} called for help, and {friend} the {other} came at once.",
    '"Follow me," said {friend}, a {kind} old {other}.',
)
TURNS = (
    "Together they walked all night and did not give up.",
    "They used a {tool} to make light and went on.",
    "They shared some {food} and laughed.",
    "Step by step they went on until they saw the {place}.",
    "They sang a song, and the way felt short.",
    "{friend} pulled and {name} pushed, and at last it worked.",
    "In the morning the sun came out, and all was {colour} and bright.",
)
ENDINGS = (
    "From that day on, {name} and {friend} were best friends.",
    "In the end {name} was happy and went home.",
    '{name} smiled and said, "Thank you, {friend}."',
    "That night they ate {food} and slept well.",
    "{name} learned that a good friend is worth more than gold.",
    "And so {name} came home with {thing2} and a new friend.",
    "They lived near the {place} for many happy years.",
    "After that {name} was never afraid of the dark again.",
)
ASK = (
    "Tell me a story.|Tell me a short story.|Write a story.|Write a short story.|Can you tell me a story?|"
    "I want to hear a story.|Please tell me a story.|A story, please.|Tell a story|Make up a story."
).split("|")
ASK_ABOUT = (
    "Tell me a story about {about}.|Write a short story about {about}.|Tell me a short story about {about}.|"
    "Write a story about {about}.|Can you tell me a story about {about}?|Make up a story about {about}.|"
    "A story about {about}, please.|Please write a story about {about}."
).split("|")
SAD = "sad lonely tired worried restless".split()
KIND = "kind wise clever gentle friendly brave".split()


@dataclass(frozen=True)
class Story:
    """A told story, with what it is about."""

    sentences: tuple[str, ...]
    name: str
    animal: str

    @property
    def text(self) -> str:
        return " ".join(self.sentences)


def a_story(rng: Random) -> Story:
    name, friend = a_name(rng), a_name(rng)
    animal, other = rng.sample(ANIMALS, 2)
    thing = article(f"{rng.choice(COLOURS)} {rng.choice(OBJECTS)}")

    def fill(forms: tuple[str, ...]) -> str:
        return rng.choice(forms).format(
            name=name,
            friend=friend,
            hero=article(f"{rng.choice(ADJECTIVES)} {animal}"),
            other=other,
            place=rng.choice(PLACES),
            place2=article(rng.choice(PLACES)),
            thing=thing,
            thing2=thing,
            food=rng.choice(FOODS),
            tool=rng.choice(OBJECTS),
            colour=rng.choice(COLOURS),
            sad=rng.choice(SAD),
            kind=rng.choice(KIND),
        )

    parts = [fill(OPENINGS), fill(WISHES), fill(OBSTACLES), fill(HELPERS)]
    if rng.random() < 0.6:
        parts.append(fill(TURNS))
    parts.append(fill(ENDINGS))
    return Story(tuple(parts), name, animal)


def stories(rng: Random) -> Sample:
    """A story on request, free or about an animal or a name."""
    story = a_story(rng)
    roll = rng.random()
    if roll < 0.4:
        ask = rng.choice(ASK)
    else:
        about = rng.choice(
            (
                article(story.animal),
                article(story.animal),
                story.name,
                f"{article(story.animal)} named {story.name}",
            )
        )
        ask = rng.choice(ASK_ABOUT).format(about=about)
    thought = None
    if rng.random() < 0.1:
        thought = f"I tell a story. It is about {article(story.animal)} named {story.name}."
    return Chat([user(ask), assistant(story.text, thought)])


def long_stories(rng: Random) -> Sample:
    """Several chapters of one kind each, for long answers."""
    chapters = [a_story(rng) for _ in range(rng.randint(3, 5))]
    ask = rng.choice(
        ("Tell me a long story.", "Write a long story.", "Tell me a very long story.", "Write a long tale.")
    )
    text = "\n\n".join(f"Chapter {number}\n\n{story.text}" for number, story in enumerate(chapters, 1))
    return Chat([user(ask), assistant(text)])


def plain_stories(rng: Random) -> Sample:
    """Stories as plain text, one or a few paragraphs."""
    return Plain("\n\n".join(a_story(rng).text for _ in range(rng.choice((1, 1, 1, 2)))))
