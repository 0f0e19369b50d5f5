"""How long a model is to stay loaded behind a request, as Ollama's clients write it."""

import re
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from caravan_schemas.base import by_json_type

_KIND = "keep_alive_kind"
_WANTED = "must be a duration: seconds, or a text such as '5m' or '1h30m'; -1 is for ever"
_NUMBER = r"(?:\d{1,18}(?:\.\d{0,18})?|\.\d{1,18})"
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(rf"({_NUMBER})({'|'.join(sorted(_UNITS, key=len, reverse=True))})", re.ASCII)
_PLAIN = re.compile(_NUMBER, re.ASCII)
# Nobody writes more parts than there are units.
_LONGEST = 200


def seconds_of(value: str | float) -> float:
    """Read a duration in seconds, as Go writes them, or as a number alone; what is below 0 is for ever.

    Raises ValueError.
    """
    if not isinstance(value, str):
        return float(value)
    text = value.strip()
    sign = -1.0 if text.startswith("-") else 1.0
    text = text.removeprefix("-" if sign < 0 else "+")
    if len(text) <= _LONGEST:
        if _PLAIN.fullmatch(text):
            return sign * float(text)
        parts = _PART.findall(text)
        if parts and sum(len(number) + len(unit) for number, unit in parts) == len(text):
            return sign * sum(float(number) * _UNITS[unit] for number, unit in parts)
    raise ValueError(value)


def _checked(value: str | float) -> str | float:
    try:
        seconds_of(value)
    except ValueError as error:
        raise PydanticCustomError(_KIND, _WANTED) from error
    return value


KeepAlive = Annotated[str | float, by_json_type(_KIND, _WANTED), AfterValidator(_checked)]
