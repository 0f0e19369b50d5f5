"""Where a value stands in a TOML file: Python's reader does not tell."""

import re
from collections.abc import Sequence

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(#.*)?")
_KEY = re.compile(r"\s*([A-Za-z0-9_.\"'-]+(?:\s*\.\s*[A-Za-z0-9_\"'-]+)*)\s*=")


def line_of(text: str, path: Sequence[str | int]) -> int | None:
    """Return the line, from 1, of the longest beginning of `path` that is written; None if none is.

    Only headers and keys at the beginning of a line are seen, so what is within an inline table has the line
    of that table.
    """
    places = list(_places(text))
    for length in range(len(path), 0, -1):
        wanted = tuple(path[:length])
        for place, line in places:
            if place == wanted:
                return line
    return None


def _places(text: str) -> list[tuple[tuple[str | int, ...], int]]:
    found: list[tuple[tuple[str | int, ...], int]] = []
    table: tuple[str | int, ...] = ()
    counts: dict[tuple[str, ...], int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if header := _HEADER.fullmatch(line):
            names = tuple(_parts(header[2]))
            table = names
            if header[1] == "[[":
                index = counts[names] = counts.get(names, -1) + 1
                table = (*names, index)
                if index == 0:
                    found.append((names, number))
            elif names[:1] in counts:
                table = (names[0], counts[names[:1]], *names[1:])
            found.append((table, number))
        elif key := _KEY.match(line):
            found.append(((*table, *_parts(key[1])), number))
    return found


def _parts(name: str) -> list[str]:
    return [part.strip().strip("\"'") for part in name.split(".")]
