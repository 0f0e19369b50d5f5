"""What a GBNF grammar is once it is read: rules over characters, tokens and each other, without nesting."""

from collections.abc import Iterable
from dataclasses import dataclass, field

Ranges = tuple[tuple[int, int], ...]

# What text consists of. llama.cpp never matches U+0000, and surrogates are no characters.
TEXT: Ranges = ((0x1, 0xD7FF), (0xE000, 0x10FFFF))


class GbnfError(Exception):
    """What is wrong with a grammar, and at which of its characters, counted from zero."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Chars:
    """One character out of ascending, disjoint, inclusive ranges of code points."""

    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Tokens:
    """One token, or any but this one, whatever its text; `offset` is where it is named."""

    token_id: int
    negated: bool
    offset: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Ref:
    """The rule of this number."""

    rule: int


@dataclass(frozen=True, slots=True)
class Item:
    """A symbol, from `low` to `high` times; without an upper limit if `high` is None."""

    symbol: Chars | Tokens | Ref
    low: int = 1
    high: int | None = 1

    @property
    def is_single(self) -> bool:
        """Whether it comes exactly once."""
        return self.low == self.high == 1


Sequence = tuple[Item, ...]


@dataclass(slots=True)
class Rule:
    """Alternatives, each a sequence; and where in the text the rule, or the group it stands for, begins.

    Without alternatives it is not defined.
    """

    name: str
    offset: int
    alternatives: tuple[Sequence, ...] = ()


@dataclass(frozen=True, slots=True)
class Grammar:
    """Rules, of which `root` is what the whole text must be."""

    rules: list[Rule]
    root: int


def characters(ranges: Iterable[tuple[int, int]], *, negated: bool = False) -> Chars:
    """Join those characters of text that are in some of the ranges, or in none; a reversed range has none."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(pair for pair in ranges if pair[0] <= pair[1]):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    if negated:
        edges = [-1, *(edge for pair in merged for edge in pair), 0x110000]
        merged = [(low + 1, high - 1) for low, high in zip(edges[::2], edges[1::2], strict=True)]
    return Chars(intersection(merged, TEXT))


def intersection(left: Iterable[tuple[int, int]], right: Ranges) -> Ranges:
    """Find what two sets of characters have in common."""
    common = ((max(a, c), min(b, d)) for a, b in left for c, d in right)
    return tuple((low, high) for low, high in common if low <= high)
