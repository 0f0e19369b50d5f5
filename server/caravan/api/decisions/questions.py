"""Questions into what the model reads and the labels it may answer with; scores of labels into answers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from caravan_schemas.decisions import (
    Answer,
    ChoiceAnswer,
    ChoiceProbability,
    ChoiceQuestion,
    InputJson,
    Instructions,
    LevelProbability,
    PredicateAnswer,
    PredicateQuestion,
    Question,
    ScoreAnswer,
)

from caravan.api.decisions.probabilities import Shares
from caravan.errors import InvalidRequestError, InvalidValueError

_PREDICATE = "Is this true of the above? Answer with Yes or No alone."
_CHOICES = "The possible answers:"
_LEVELS = "The possible answers, from the lowest to the highest:"
_ALONE = "Answer with one of them alone, exactly as it is written."

# As OpenAI has them.
_MAX_DEPTH = 32
_MAX_VALUES = 10_000
_MAX_BYTES = 256 * 1024


@dataclass(frozen=True)
class Asked:
    """`text` is the question as the model reads it, `labels` are its answers, all different."""

    text: str
    labels: tuple[str, ...]


def asked(question: Question, param: str) -> Asked:
    """Write a question; raises InvalidRequestError, with the field's path under `param`."""
    instructions = _written(question.instructions, f"{param}.instructions").strip()
    if isinstance(question, PredicateQuestion):
        return Asked(_joined(instructions, _PREDICATE), ("Yes", "No"))
    if isinstance(question, ChoiceQuestion):
        labels = _choice_labels(question, param)
        notes, intro = [choice.description for choice in question.choices], _CHOICES
    else:
        labels = tuple(level.label for level in question.levels)
        _check_different([("", label) for label in labels], f"{param}.levels")
        notes, intro = [level.description for level in question.levels], _LEVELS
    lines = [
        f"- {label}: {note}" if note else f"- {label}" for label, note in zip(labels, notes, strict=True)
    ]
    return Asked(_joined(instructions, "\n".join([intro, *lines]), _ALONE), labels)


def answer(question: Question, shares: Shares) -> Answer:
    """Make the answer of the shares of its labels."""
    found, mass, name = shares.probabilities, shares.mass, question.name
    if isinstance(question, PredicateQuestion):
        return PredicateAnswer(type="predicate", name=name, probability=found[0], label_mass=mass)
    if isinstance(question, ChoiceQuestion):
        values = [choice.value for choice in question.choices]
        return ChoiceAnswer(
            type="choice",
            name=name,
            choice=values[found.index(max(found))],
            confidence=max(found),
            probabilities=[
                ChoiceProbability(value=value, probability=probability)
                for value, probability in zip(values, found, strict=True)
            ],
            label_mass=mass,
        )
    return ScoreAnswer(
        type="score",
        name=name,
        score=sum(place * probability for place, probability in enumerate(found)),
        confidence=max(found),
        probabilities=[
            LevelProbability(value=place, label=level.label, probability=found[place])
            for place, level in enumerate(question.levels)
        ],
        label_mass=mass,
    )


def json_text(part: InputJson, param: str) -> str:
    """Write a JSON part without spaces; raises InvalidRequestError about one that is too large."""
    # Not every depth that the body may have can be written, so it is looked at level by level.
    level: list[object] = [part.data]
    num_values = depth = 0
    while level:
        num_values += len(level)
        inner = [value for value in level if isinstance(value, dict | list)]
        depth += bool(inner)
        if depth > _MAX_DEPTH or num_values > _MAX_VALUES:
            raise InvalidValueError(
                f"{param}.data", f"must have at most {_MAX_DEPTH} levels and {_MAX_VALUES} values"
            )
        level = [
            member for value in inner for member in (value.values() if isinstance(value, dict) else value)
        ]
    text = msgspec.json.encode(part.data)
    if len(text) > _MAX_BYTES:
        raise InvalidValueError(f"{param}.data", f"must have at most {_MAX_BYTES} bytes")
    return text.decode()


def _written(instructions: Instructions, param: str) -> str:
    if isinstance(instructions, str):
        return instructions
    return "\n".join(
        json_text(part, f"{param}[{index}]") if isinstance(part, InputJson) else part.text
        for index, part in enumerate(instructions)
    )


def _joined(*texts: str) -> str:
    return "\n\n".join(text for text in texts if text)


def _choice_labels(question: ChoiceQuestion, param: str) -> tuple[str, ...]:
    values = [choice.value for choice in question.choices]
    _check_different([(type(value).__name__, str(value)) for value in values], f"{param}.choices")
    labels = tuple(value if isinstance(value, str) else str(value).lower() for value in values)
    if len(set(labels)) == len(labels):
        return labels
    # A text and a boolean of the same letters: quotes tell them apart.
    return tuple(
        msgspec.json.encode(value).decode() if isinstance(value, str) else str(value).lower()
        for value in values
    )


def _check_different(values: Sequence[tuple[str, str]], param: str) -> None:
    twice = next((value for value, count in Counter(values).items() if count > 1), None)
    if twice is not None:
        message = f"'{param}' has '{twice[1]}' more than once."
        raise InvalidRequestError(message, param=param, code="invalid_value")
