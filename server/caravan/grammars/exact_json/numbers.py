"""Numbers that llguidance would round, and regular expressions that do not.

It holds numbers as doubles, and integers with 64 bits. So a number counts as large beyond 2^53, where not
every integer is a double any more.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

LARGE = 2**53
# Of digits, and so of alternatives in a regular expression; doubles have 309.
MAX_DIGITS = 400

# Steps between multiples have 32 bits.
_MAX_STEP = 2**32
_MAX_NEIGHBOURS = 4

_LOWS = (("minimum", False), ("exclusiveMinimum", True))
_HIGHS = (("maximum", False), ("exclusiveMaximum", True))
BOUNDS = tuple(keyword for keyword, _ in _LOWS + _HIGHS)


def is_number(value: object) -> bool:
    """Whether a value is a number of JSON."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_large(value: Any) -> bool:  # noqa: ANN401 (any JSON value)
    """Whether a value is a number that llguidance cannot be trusted with."""
    return is_number(value) and abs(value) > LARGE


def has_large(value: object) -> bool:
    """Whether such a number is anywhere in a value."""
    if isinstance(value, dict):
        return any(map(has_large, value.values()))
    return any(map(has_large, value)) if isinstance(value, list) else is_large(value)


def has_large_bounds(schema: dict[str, Any]) -> bool:
    """Whether a schema bounds its numbers by large ones."""
    return any(is_large(schema.get(keyword)) for keyword in BOUNDS)


def without_large(schema: dict[str, Any]) -> dict[str, Any] | None:
    """A schema of those of its numbers that are not large; None where it has none."""
    small = {key: value for key, value in schema.items() if key not in BOUNDS or not is_large(value)}
    low, high = bounds(schema)
    if (low.value is not None and low.value > LARGE) or (high.value is not None and high.value < -LARGE):
        return None
    if low.value is None or low.value < -LARGE:
        small["minimum"] = -LARGE
    if high.value is None or high.value > LARGE:
        small["maximum"] = LARGE
    return small


def admits(schema: dict[str, Any], value: float) -> bool:
    """Whether the keywords of a schema that speak of numbers let a large number be."""
    low, high = bounds(schema)
    number, step = Fraction(value), schema.get("multipleOf")
    return (
        (low.value is None or (number > low.value if low.is_open else number >= low.value))
        and (high.value is None or (number < high.value if high.is_open else number <= high.value))
        and (step is None or (number / Fraction(str(step))).denominator == 1)
    )


def kept_step(value: float) -> float | None:
    """The number, or a double beside it, that llguidance reads as exactly this step between multiples.

    None where there is none: it keeps 32 bits of digits, which it counts by multiplying by ten.
    """
    if not 0 < value < _MAX_STEP:
        return None
    wanted = Decimal(repr(value))
    least = greatest = float(value)
    tried = [value]
    for _ in range(_MAX_NEIGHBOURS):
        least, greatest = math.nextafter(least, 0), math.nextafter(greatest, math.inf)
        tried += [least, greatest]
    for number in tried:
        digits, scale = float(number), 0
        while digits % 1 and digits < _MAX_STEP:
            digits, scale = digits * 10, scale + 1
        if digits < _MAX_STEP and Decimal(int(digits)).scaleb(-scale) == wanted:
            return number
    return None


def literal(value: float) -> str:
    """The digits of a large number, which is always an integer."""
    return str(int(value))


@dataclass(frozen=True)
class Bound:
    """One end of what numbers may be, as an integer; it may be one of them itself unless it `is_open`."""

    value: int | None = None
    is_open: bool = False

    def __neg__(self) -> "Bound":
        return Bound(None if self.value is None else -self.value, self.is_open)


def bounds(schema: dict[str, Any]) -> tuple[Bound, Bound]:
    """Between which integers the numbers of a schema lie; where fractions bound them, a little wider."""
    lows = [(math.floor(schema[k]), is_open) for k, is_open in _LOWS if k in schema]
    highs = [(-math.ceil(schema[k]), is_open) for k, is_open in _HIGHS if k in schema]
    low, high = (Bound(*max(found)) if found else Bound() for found in (lows, highs))
    return low, -high


def large_pattern(low: "Bound", high: "Bound", fraction: str = "") -> str:
    """A regular expression for the numbers beyond `LARGE` on either side that lie between two bounds.

    They are integers; `fraction` may follow each that leaves room for one. Empty where there are none.
    """
    return "|".join([*_positive("", low, high, fraction), *_positive("-", -high, -low, fraction)])


def _positive(sign: str, low: "Bound", high: "Bound", fraction: str) -> Iterator[str]:
    """Alternatives for large numbers above zero."""
    start = LARGE + 1
    if low.value is not None:
        start = max(start, low.value + low.is_open)
    last = high.value
    if last is None:
        yield f"{sign}(?:{'|'.join(_digits(start, None))}){fraction}"
        return
    # Below the very last one there is room for fractions.
    if start < last:
        yield f"{sign}(?:{'|'.join(_digits(start, last - 1))}){fraction}"
    if start <= last and not high.is_open:
        yield f"{sign}{last}"


def _digits(low: int, high: int | None) -> Iterator[str]:
    """Alternatives for the integers from `low` to `high`, both of them positive."""
    length = len(str(low))
    if high is None:
        yield from _same_length(str(low), "9" * length)
        yield f"[1-9][0-9]{{{length},}}"
        return
    longest = len(str(high))
    if length == longest:
        yield from _same_length(str(low), str(high))
        return
    yield from _same_length(str(low), "9" * length)
    if longest - length > 1:
        yield f"[1-9][0-9]{{{length},{longest - 2}}}"
    yield from _same_length("1" + "0" * (longest - 1), str(high))


def _same_length(low: str, high: str) -> Iterator[str]:
    """Alternatives for the numbers between two of as many digits."""
    if low == high:
        yield low
        return
    shared = next(place for place, (a, b) in enumerate(zip(low, high, strict=True)) if a != b)
    head, low, high = low[:shared], low[shared:], high[shared:]
    num_rest = len(low) - 1
    is_least, is_greatest = not low[1:].strip("0"), not high[1:].strip("9")
    first, last = int(low[0]) + (not is_least), int(high[0]) - (not is_greatest)
    if first <= last:
        yield f"{head}[{first}-{last}]" + _any_digits(num_rest)
    if not is_least:
        yield from (head + low[0] + rest for rest in _from(low[1:]))
    if not is_greatest:
        yield from (head + high[0] + rest for rest in _up_to(high[1:]))


def _from(low: str) -> Iterator[str]:
    """Alternatives for as many digits that are not less; one for each that could be greater."""
    for place, digit in enumerate(low):
        if digit != "9":
            yield f"{low[:place]}[{int(digit) + 1}-9]" + _any_digits(len(low) - place - 1)
    yield low


def _up_to(high: str) -> Iterator[str]:
    for place, digit in enumerate(high):
        if digit != "0":
            yield f"{high[:place]}[0-{int(digit) - 1}]" + _any_digits(len(high) - place - 1)
    yield high


def _any_digits(count: int) -> str:
    return f"[0-9]{{{count}}}" if count else ""
