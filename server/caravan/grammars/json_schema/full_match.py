"""Expressions of JSON schemas, which are found somewhere in a text, as those that match all of it."""

import itertools
import re

_PART = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.", re.DOTALL)
_LOOKS_AROUND = re.compile(r"\(\?<?[=!]")
# Places, and what else may stand for one.
_PLACES = frozenset(("^", "$", *(f"\\{letter}" for letter in "AbBzZG")))
_ANYTHING = "(?s:.*)"


def whole(pattern: str) -> str | None:
    """Write what matches a text as a whole if the pattern is found in it; None where that is not known.

    Only the first and the last of a pattern may name places: the beginning and the end of the text.
    """
    parts = [part[0] for part in _PART.finditer(pattern)]
    from_start, to_end = parts[:1] == ["^"], parts[-1:] == ["$"]
    body = parts[from_start : len(parts) - to_end]
    if from_start and to_end and _is_group(body):
        return "".join(body)
    if not _PLACES.isdisjoint(body) or _LOOKS_AROUND.search(pattern):
        return None
    if (from_start or to_end) and _has_alternatives(body):
        return None
    before, after = "" if from_start else _ANYTHING, "" if to_end else _ANYTHING
    return f"{before}(?:{''.join(body)}){after}"


def _is_group(parts: list[str]) -> bool:
    """Whether one group without a name holds all parts; the rules' own engine reads what is in it."""
    depths = list(itertools.accumulate((part == "(") - (part == ")") for part in parts))
    return parts[:3] == ["(", "?", ":"] and depths.index(0) == len(parts) - 1 if 0 in depths else False


def _has_alternatives(parts: list[str]) -> bool:
    """Whether there are some that no group holds together."""
    depth = 0
    for part in parts:
        depth += (part == "(") - (part == ")")
        if part == "|" and depth == 0:
            return True
    return False
