"""The many ways people write the same request."""

from random import Random

_OPENINGS = (
    "Please tell me: {q}",
    "Can you tell me? {q}",
    "Hello! {q}",
    "Hi, {l}",
    "Hey, {l}",
    "Question: {q}",
    "I want to know: {l}",
    "Quick question: {l}",
    "My question is: {l}",
    "Please answer: {q}",
    "Answer this: {q}",
    "{q} Please answer.",
    "{q} Thanks!",
    "{q} Tell me please.",
    "{q} Answer in one sentence.",
)


def vary(rng: Random, question: str) -> str:
    """The question as somebody may really type it."""
    form = rng.random()
    if form < 0.55:
        return question
    if form < 0.65:
        return lower_first(question)
    if form < 0.75:
        return question.rstrip("?.")
    if form < 0.82:
        return lower_first(question).rstrip("?.")
    return rng.choice(_OPENINGS).format(q=question, l=lower_first(question))


def lower_first(text: str) -> str:
    """Lower the first letter when the first word is an ordinary one."""
    first = text.split(" ", 1)[0]
    ordinary = first.rstrip(",").lower() in _COMMON
    return text[0].lower() + text[1:] if ordinary else text


_COMMON = set(
    "what which who where how tell name do give say write capital opposite in on translate the one plural "
    "add calculate count list make spell show is can please repeat set find".split()
)
