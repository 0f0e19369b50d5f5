"""Whose value each decoding parameter has: the request's, its preset's, or a default's."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from caravan_schemas.base import Schema
from caravan_schemas.parameters import TRUNCATING, parameters
from caravan_schemas.samplers import FIXED
from caravan_schemas.sampling import DecodingFields, SamplingFields

from caravan.errors import InvalidValueError

PARAMETERS = parameters(SamplingFields)
# Parameters that defaults and presets may set.
DEFAULTABLE = parameters(DecodingFields)
FIRST_NAMES = {name: first for first, known in PARAMETERS.items() for name in (first, *known.aliases)}


class Source(StrEnum):
    """Who set a value, the strongest first."""

    REQUEST = "request"
    PRESET = "preset"
    OPERATOR = "operator"
    GGUF = "gguf"
    LLAMA_CPP = "llama.cpp"
    OPENAI = "openai"


@dataclass(frozen=True, slots=True)
class Value:
    """A value and who set it."""

    value: object
    source: Source


Values = Mapping[str, Value]

# Values that others have for "off" or "as much as there is", by what they are here.
_MEANT: Mapping[str, Callable[[object], object]] = {
    "adaptive_target": lambda value: None if isinstance(value, float) and value < 0 else value,
    "max_tokens": lambda value: None if value == -1 else value,
    "seed": lambda value: None if value == -1 else value,
    "stop": lambda value: [text for text in ([value] if isinstance(value, str) else _list(value)) if text],
    "t_max_predict_ms": lambda value: value or None if value != -1 else None,
    "top_k": lambda value: 0 if value == -1 else value,
}


def given(fields: Schema) -> dict[str, object]:
    """Read what a body sets, by first names; a name and its alias may both be there only if they agree.

    None is a value here: no limit, and no seed.
    """
    found: dict[str, object] = {}
    for name, first in FIRST_NAMES.items():
        value = getattr(fields, name, None)
        if value is None:
            continue
        meant = _MEANT[first](value) if first in _MEANT else value
        if found.setdefault(first, meant) != meant:
            other = _used_name(fields, first)
            raise InvalidValueError(name, f"and '{other}' are two names of one parameter and differ")
    return found


def _used_name(fields: Schema, first: str) -> str:
    """Return the name by which a body sets a parameter, or its first one."""
    names = (first, *PARAMETERS[first].aliases)
    return next((name for name in names if getattr(fields, name, None) is not None), first)


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []


@dataclass(frozen=True)
class ResolvedParams:
    """Every parameter's value and its origin, for a request of these fields."""

    values: Values
    fields: Schema

    def __getitem__(self, name: str) -> object:
        known = self.values.get(name)
        return None if known is None else known.value

    def number(self, name: str) -> float:
        """A value that is a number; 0 where there is none."""
        value = self[name]
        return value if isinstance(value, int | float) else 0

    def items(self, name: str) -> list[object]:
        """A value that is a list; empty where there is none."""
        return _list(self[name])

    def is_set(self, name: str) -> bool:
        """Whether the request itself, not its preset, sets this."""
        known = self.values.get(name)
        return known is not None and known.source is Source.REQUEST

    def is_chosen(self, name: str) -> bool:
        """Whether the request or the preset that it names sets this."""
        known = self.values.get(name)
        return known is not None and known.source in (Source.REQUEST, Source.PRESET)

    def written(self, name: str) -> str:
        """The name of a parameter in words to the client: the one it used, if it used one."""
        return _used_name(self.fields, name)


def resolve(fields: DecodingFields, preset: DecodingFields | None, defaults: Values) -> ResolvedParams:
    """Put the request over its preset over the defaults, and turn off defaults that stand in the way.

    Of temperature 0, mirostat and adaptive-p, which exclude each other, the one of the highest standing
    stays. Mirostat turns off the defaults of truncating samplers. A default list of samplers is completed by
    those that the request sets; one that is about more than truncating ones turns off defaults of the others.
    """
    values = dict(defaults)
    if preset is not None:
        values |= {name: Value(value, Source.PRESET) for name, value in given(preset).items()}
    values |= {name: Value(value, Source.REQUEST) for name, value in given(fields).items()}
    resolved = ResolvedParams(values, fields)
    off = _weaker_draws(resolved)
    if resolved.number("mirostat") and "mirostat" not in off:
        off += (name for name in (*TRUNCATING.values(), "min_keep") if not resolved.is_chosen(name))
    listed = _completed_samplers(resolved)
    if not FIXED.keys().isdisjoint(listed):
        unlisted = (name for sampler, names in FIXED.items() if sampler not in listed for name in names)
        off += (name for name in unlisted if not resolved.is_chosen(name))
    if "samplers" in values:
        values["samplers"] = Value(listed, values["samplers"].source)
    values |= {name: Value(PARAMETERS[name].neutral, values[name].source) for name in off}
    return resolved


def _weaker_draws(resolved: ResolvedParams) -> list[str]:
    """Ways to draw that exclude one which somebody of higher standing has set."""
    wishes = {
        "mirostat": resolved.number("mirostat") > 0,
        "adaptive_target": resolved["adaptive_target"] is not None,
        "temperature": resolved["temperature"] == 0 and resolved.number("dynatemp_range") == 0,
    }
    standing = {name: _STANDING[resolved.values[name].source] for name, wished in wishes.items() if wished}
    strongest = min(standing.values(), default=0)
    return [name for name, place in standing.items() if name != "temperature" and place > strongest]


def _completed_samplers(resolved: ResolvedParams) -> list[object]:
    """The list of samplers; one that the request does not set itself has those that it sets, too."""
    listed = resolved.items("samplers")
    if resolved.is_set("samplers"):
        return listed
    missing = [s for s, name in TRUNCATING.items() if resolved.is_set(name) and s not in listed]
    at = listed.index("temperature") if "temperature" in listed else len(listed)
    listed[at:at] = missing
    if not FIXED.keys().isdisjoint(listed):
        unlisted = [s for s, on in FIXED.items() if s not in listed and any(map(resolved.is_set, on))]
        listed[:0] = [s for s in unlisted if s != "temperature"]
        listed += [s for s in unlisted if s == "temperature"]
    return listed


_STANDING = {source: standing for standing, source in enumerate(Source)}
