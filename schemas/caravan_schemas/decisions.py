"""Decisions: questions with given answers about one input, and how likely each answer is."""

from typing import Annotated, Any, Literal

from pydantic import Field

from caravan_schemas.base import Schema, by_json_type, by_type, string_or_array, type_of, type_tag, without
from caravan_schemas.common import ModelFields, PriorityFields
from caravan_schemas.responses_items import (
    MAX_ITEMS,
    MAX_PARTS,
    FlatCallOutput,
    FlatCustomCallOutput,
    InputItem,
    InputText,
    PastFlatCall,
    PastFlatCustomCall,
    PastRefusal,
    PastText,
)

MAX_QUESTIONS = 400
MAX_CHOICES = 255
MAX_LEVELS = 10
_LONGEST_LABEL = 1024

Normalization = Literal["none", "length", "prior"]

_NO_IMAGES = without(frozenset({"input_image", "input_file", "input_audio"}), "only text and JSON are")


class InputJson(Schema):
    """An object, or an array of objects, which the model reads as JSON without spaces."""

    type: Literal["input_json"]
    data: dict[str, Any] | list[dict[str, Any]] = Field(
        description="At most 32 levels deep, with 10,000 values and 256 KiB of JSON."
    )


DecisionPart = Annotated[
    InputText | InputJson | PastText | PastRefusal,
    by_type("part_kind"),
    _NO_IMAGES,
]
DecisionContent = Annotated[
    str | Annotated[list[DecisionPart], Field(max_length=MAX_PARTS, fail_fast=True)],
    string_or_array("content_kind", "text and JSON parts"),
]


class DecisionMessage(InputItem):
    """A turn of the conversation that the questions are about."""

    type: Literal["message"] | None = None
    role: Literal["user", "assistant", "system", "developer"]
    content: DecisionContent
    phase: Literal["commentary", "final_answer"] | None = Field(default=None, description="Not read.")


def _item_tag(value: object) -> str:
    if type_of(value) is not None:
        return type_tag(value)
    is_message = isinstance(value, DecisionMessage) or (isinstance(value, dict) and "role" in value)
    return "<message>" if is_message else "<other>"


DecisionItem = Annotated[
    DecisionMessage | PastFlatCall | FlatCallOutput | PastFlatCustomCall | FlatCustomCallOutput,
    by_type("item_kind", tag=_item_tag),
]
DecisionInput = Annotated[
    str | Annotated[list[DecisionItem], Field(min_length=1, max_length=MAX_ITEMS, fail_fast=True)],
    string_or_array("input_kind", "items"),
]
InstructionPart = Annotated[
    InputText | InputJson,
    by_type("part_kind"),
    _NO_IMAGES,
]
Instructions = Annotated[
    str | Annotated[list[InstructionPart], Field(min_length=1, max_length=MAX_PARTS, fail_fast=True)],
    string_or_array("content_kind", "text and JSON parts"),
]


class QuestionFields(Schema):
    """What all questions have."""

    name: str | None = Field(default=None, description="Given back with the answer.")
    instructions: Instructions = Field(
        description="The question, or the statement, as the model is to read it."
    )


class PredicateQuestion(QuestionFields):
    """Asks how likely it is that a statement about the input is true."""

    type: Literal["predicate"]


ChoiceValue = Annotated[
    Annotated[str, Field(min_length=1, max_length=_LONGEST_LABEL)] | bool,
    by_json_type("value_kind", "must be a string or a boolean"),
]


class Choice(Schema):
    """One of the answers to choose from. A text and a boolean of the same letters are two answers."""

    value: ChoiceValue
    description: str | None = Field(default=None, description="What the model is told of it.")


class ChoiceQuestion(QuestionFields):
    """Asks which of the choices fits the input best."""

    type: Literal["choice"]
    choices: list[Choice] = Field(
        min_length=2, max_length=MAX_CHOICES, description="2 to 255 choices, no two of them alike."
    )


class Level(Schema):
    """One of the levels of a scale."""

    label: str = Field(min_length=1, max_length=_LONGEST_LABEL)
    description: str | None = Field(default=None, description="What the model is told of it.")


class ScoreQuestion(QuestionFields):
    """Asks for a place on a scale."""

    type: Literal["score"]
    levels: list[Level] = Field(
        min_length=2, max_length=MAX_LEVELS, description="2 to 10 levels, the lowest first, no two alike."
    )


Question = Annotated[
    PredicateQuestion | ChoiceQuestion | ScoreQuestion,
    by_type("question_kind"),
]


class DecisionRequest(PriorityFields, ModelFields):
    """Body of `POST /v1/decisions`."""

    input: DecisionInput = Field(
        description="What all questions are about: a text, or messages, calls of tools and their results."
    )
    questions: list[Question] = Field(
        min_length=1,
        max_length=MAX_QUESTIONS,
        description="1 to 400 questions. Each is answered as if it were the only one.",
    )
    normalization: Normalization | None = Field(
        default=None,
        description="Caravan's own. How the probabilities of an answer's labels are made comparable: `none` "
        "(the default) takes them as they are, `length` the geometric mean of those of the label's tokens, "
        "`prior` divides by how likely the label is without the input.",
    )


class PredicateAnswer(Schema):
    """`probability` is that of the statement being true.

    In all answers `label_mass` is how likely it is that the model answers with one of the labels at all; the
    probabilities are shares of it.
    """

    type: Literal["predicate"]
    name: str | None
    probability: float
    label_mass: float


class ChoiceProbability(Schema):
    """How likely a choice is."""

    value: str | bool
    probability: float


class ChoiceAnswer(Schema):
    """`choice` is the likeliest, the first of those that are equally likely; `confidence` its probability."""

    type: Literal["choice"]
    name: str | None
    choice: str | bool
    confidence: float
    probabilities: list[ChoiceProbability]
    label_mass: float


class LevelProbability(Schema):
    """How likely a level is. `value` is its place, from 0."""

    value: int
    label: str
    probability: float


class ScoreAnswer(Schema):
    """`score` is the mean of the levels' places, by their probabilities, `confidence` the largest."""

    type: Literal["score"]
    name: str | None
    score: float
    confidence: float
    probabilities: list[LevelProbability]
    label_mass: float


Answer = Annotated[PredicateAnswer | ChoiceAnswer | ScoreAnswer, Field(discriminator="type")]


class DecisionInputDetails(Schema):
    """`cached_tokens` were in the cache already; all others are there now."""

    cached_tokens: int
    cache_write_tokens: int


class DecisionOutputDetails(Schema):
    """Nothing is thought."""

    reasoning_tokens: Literal[0]


class DecisionUsage(Schema):
    """Tokens. The input counts once, each question with its own tokens; the output are tokens of labels."""

    input_tokens: int
    input_tokens_details: DecisionInputDetails
    output_tokens: int
    output_tokens_details: DecisionOutputDetails
    total_tokens: int


class Decision(Schema):
    """The answers, in the order of the questions."""

    model: str
    answers: list[Answer]
    usage: DecisionUsage
