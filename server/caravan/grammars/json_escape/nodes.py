"""Expressions of grammars and of regular expressions; equal only to themselves."""

from collections.abc import Sequence
from dataclasses import dataclass


class UnescapableError(Exception):
    """The grammar has no counterpart inside of JSON strings."""


@dataclass(frozen=True, eq=False, slots=True)
class Chars:
    """One character: of those that `plain`, a regular expression, matches, or one of the `specials`."""

    plain: str | None
    specials: str


@dataclass(frozen=True, eq=False, slots=True)
class Name:
    """A rule or a terminal that is defined elsewhere."""

    name: str


@dataclass(frozen=True, eq=False, slots=True)
class Pattern:
    """A regular expression as it is written."""

    text: str
    flags: str


@dataclass(frozen=True, eq=False, slots=True)
class Cat:
    """One after the other; nothing but the empty text if there are none."""

    parts: Sequence["Node"]


@dataclass(frozen=True, eq=False, slots=True)
class Alt:
    """One of them; nothing at all if there are none."""

    options: Sequence["Node"]


@dataclass(frozen=True, eq=False, slots=True)
class And:
    """All at once."""

    parts: Sequence["Node"]


@dataclass(frozen=True, eq=False, slots=True)
class Not:
    """Any other text."""

    node: "Node"


@dataclass(frozen=True, eq=False, slots=True)
class Repeat:
    """At least `low` times, and at most `high` times if that is a number."""

    node: "Node"
    low: int
    high: int | None


Node = Chars | Name | Pattern | Cat | Alt | And | Not | Repeat

NOTHING = Alt(())
EMPTY = Cat(())


def cat(*parts: Node) -> Node:
    """Make a `Cat`, as simple as it can be written."""
    if any(part is NOTHING for part in parts):
        return NOTHING
    kept = [part for part in parts if part is not EMPTY]
    return kept[0] if len(kept) == 1 else Cat(kept) if kept else EMPTY


def alt(*options: Node) -> Node:
    """Make an `Alt`, as simple as it can be written."""
    kept = [option for option in options if option is not NOTHING]
    return kept[0] if len(kept) == 1 else Alt(kept) if kept else NOTHING


def repeat(node: Node, low: int, high: int | None) -> Node:
    """Make a `Repeat`, as simple as it can be written."""
    if high == 0 or node is EMPTY:
        return EMPTY
    return node if low == high == 1 else Repeat(node, low, high)
