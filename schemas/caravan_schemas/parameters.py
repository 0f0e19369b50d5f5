"""What a decoding parameter is besides a field: its other names, its default, its place and its source."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from caravan_schemas.base import Schema

OPENAI = "OpenAI"
LLAMA_CPP = "llama.cpp"
VLLM = "vLLM"
CARAVAN = "Caravan"

# The samplers that `samplers` may order, by the name of the field that sets each.
TRUNCATING = {
    "top_n_sigma": "top_n_sigma",
    "top_k": "top_k",
    "typical_p": "typical_p",
    "top_p": "top_p",
    "min_p": "min_p",
    "xtc": "xtc_probability",
}


class Stage(StrEnum):
    """Where a parameter acts; stages act in this order."""

    BIAS = "bias and bans"
    PENALTIES = "penalties"
    DRY = "DRY"
    TRUNCATION = "truncation"
    TEMPERATURE = "temperature"
    DRAW = "draw"
    END = "end"


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """Metadata of a field that is a decoding parameter. An alias is a field of its own with the same.

    `default` is used where neither request, preset, operator nor model file sets a value; None if there is
    none. With the value `neutral` it does nothing. `source` says whose definition and limits it follows.
    """

    stage: Stage
    source: str
    default: object = None
    neutral: object = None
    aliases: tuple[str, ...] = ()


def parameters(schema: type[Schema]) -> Mapping[str, Parameter]:
    """The decoding parameters among a schema's fields by their first names, in order of declaration."""
    return {name: parameter for name, parameter in _marked(schema) if name not in parameter.aliases}


def _marked(schema: type[Schema]) -> Iterator[tuple[str, Parameter]]:
    for name, field in schema.model_fields.items():
        for constraint in field.metadata:
            if isinstance(constraint, Parameter):
                yield name, constraint
