"""Regular expressions in Rust's syntax, read."""

import re
from collections.abc import Sequence

from caravan.grammars.json_escape.characters import characters
from caravan.grammars.json_escape.nodes import EMPTY, Node, UnescapableError, alt, cat, repeat

_GROUP = re.compile(r"\((?:\?(?:P?<[^>]*>|(?P<on>[a-zA-Z]*)(?:-(?P<off>[a-zA-Z]+))?(?P<end>[:)])))?")
_COUNT = re.compile(r"\{\s*(?P<low>\d*)\s*(?P<comma>,?)\s*(?P<high>\d*)\s*\}")
_ESCAPE = re.compile(
    r"\\(?:(?P<assertion>b\{[a-z-]*\}|[bBAzZ<>])|[pP](?:\{[^}]*\}|.)|[xuU]\{[^}]*\}|x..|u.{4}|U.{8}|.)",
    re.DOTALL,
)
_COUNTS: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_FLAGS = frozenset("ims")


def regex(pattern: str, flags: str = "") -> Node:
    """Read a sound expression that has these flags. Raises UnescapableError."""
    reading = _Reading(pattern)
    node = reading.options(_changed("", flags, ""))
    if not reading.is_over:
        raise UnescapableError(f"the regular expression '{pattern}' is not understood")
    return node


class _Reading:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    @property
    def is_over(self) -> bool:
        return self._at == len(self._pattern)

    def options(self, flags: str) -> Node:
        options: list[Node] = []
        parts: list[Node] = []
        while not self.is_over and self._pattern[self._at] != ")":
            if self._pattern[self._at] == "|":
                self._at += 1
                options.append(cat(*parts))
                parts = []
                continue
            if self._pattern[self._at] == "(":
                node, flags = self._group(flags)
            else:
                node = self._atom(flags)
            parts.append(self._repeated(node))
        return alt(*options, cat(*parts))

    def _group(self, flags: str) -> tuple[Node, str]:
        """A group, and the flags that count behind it."""
        opening = _GROUP.match(self._pattern, self._at)
        if opening is None:
            raise UnescapableError(f"'{self._pattern[self._at : self._at + 4]}' is not supported")
        self._at = opening.end()
        inner = _changed(flags, opening["on"] or "", opening["off"] or "")
        if opening["end"] == ")":
            return EMPTY, inner
        node = self.options(inner)
        self._at += 1
        return node, flags

    def _repeated(self, node: Node) -> Node:
        while not self.is_over:
            char = self._pattern[self._at]
            if char in _COUNTS:
                low, high = _COUNTS[char]
                self._at += 1
            elif (count := _COUNT.match(self._pattern, self._at)) is not None:
                low = int(count["low"] or 0)
                high = (int(count["high"]) if count["high"] else None) if count["comma"] else low
                self._at = count.end()
            else:
                break
            # Which of several matches is preferred says nothing about which texts match.
            self._at += self._pattern.startswith("?", self._at)
            node = repeat(node, low, high)
        return node

    def _atom(self, flags: str) -> Node:
        char = self._pattern[self._at]
        if char in "^$":
            raise UnescapableError(f"'{char}' in a regular expression is not supported")
        if char == "[":
            return characters(self._take(self._class_end() - self._at), flags)
        if char != "\\":
            return characters(self._take(1), flags)
        escape = _ESCAPE.match(self._pattern, self._at)
        if escape is None or escape["assertion"]:
            raise UnescapableError(f"'{self._pattern[self._at : self._at + 2]}' is not supported")
        return characters(self._take(len(escape[0])), flags)

    def _take(self, length: int) -> str:
        self._at += length
        return self._pattern[self._at - length : self._at]

    def _class_end(self) -> int:
        depth, at = 0, self._at
        while at < len(self._pattern):
            char = self._pattern[at]
            at += 1
            if char == "\\":
                at += 1
            elif char == "[":
                depth += 1
                at += self._pattern.startswith("^", at)
                # A bracket that comes first closes nothing.
                at += self._pattern.startswith("]", at)
            elif char == "]":
                depth -= 1
                if not depth:
                    return at
        raise UnescapableError("a class of characters does not end")


def _changed(flags: str, on: Sequence[str], off: str) -> str:
    for flag in (*on, *off):
        if flag not in _FLAGS and (flag != "u" or flag in off):
            raise UnescapableError(f"the flag '{flag}' of a regular expression is not supported")
    return "".join(sorted((set(flags) | set(on)) & _FLAGS - set(off)))
