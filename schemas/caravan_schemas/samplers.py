"""The forms in which clients send the order of samplers, llama.cpp's, read into one."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from caravan_schemas.parameters import TRUNCATING

MAX_SAMPLERS = 16
# What a list may name besides the samplers that truncate, by the fields that turn it on.
FIXED = {
    "penalties": ("repeat_penalty", "presence_penalty", "frequency_penalty"),
    "dry": ("dry_multiplier",),
    "temperature": ("temperature", "dynatemp_range"),
}
# llama.cpp reads names without regard to case and to how their words are joined.
_NAMES = {name.replace("_", ""): name for name in (*TRUNCATING, *FIXED)} | {
    "nucleus": "top_p",
    "typ": "typical_p",
    "typp": "typical_p",
    "typical": "typical_p",
    "temp": "temperature",
    # Has no field of its own.
    "infill": "infill",
}
# One that is on where its own field says so, and one that llama.cpp has dropped: neither changes a list.
_WITHOUT_PLACE = frozenset({"adaptivep", "tfsz", "tfs"})
_LETTERS = {
    "e": "penalties",
    "d": "dry",
    "s": "top_n_sigma",
    "k": "top_k",
    "y": "typ_p",
    "p": "top_p",
    "m": "min_p",
    "x": "xtc",
    "t": "temperature",
    "i": "infill",
    "a": "adaptive_p",
}


def _plain(name: str) -> str:
    return name.strip().lower().replace("-", "").replace("_", "")


def _listed(value: object) -> object:
    """A list of names from a text: names between semicolons, or llama.cpp's letters."""
    if not isinstance(value, str):
        return value
    if ";" in value or _plain(value) in _NAMES:
        return [name for name in value.split(";") if name.strip()]
    return [_LETTERS.get(letter, letter) for letter in value]


def _sampler(name: str) -> str:
    """The sampler that a name stands for; empty where it has no place in the list."""
    plain = _plain(name)
    if plain in _WITHOUT_PLACE:
        return ""
    if plain not in _NAMES:
        known = ", ".join(f"'{known}'" for known in (*TRUNCATING, "infill", *FIXED))
        raise PydanticCustomError("sampler", f"must be one of {known}")
    return _NAMES[plain]


def _ordered(names: list[str]) -> list[str]:
    names = [name for name in names if name]
    for name in FIXED:
        if names.count(name) > 1:
            raise PydanticCustomError("samplers", f"must not have '{name}' twice")
    return names


SamplerName = Annotated[str, AfterValidator(_sampler)]
SamplerList = Annotated[
    list[SamplerName],
    Field(max_length=MAX_SAMPLERS, fail_fast=True),
    AfterValidator(_ordered),
    BeforeValidator(_listed, json_schema_input_type=list[str] | str),
]
