"""Pieces of grammars as they stand in llguidance's dialect of Lark."""

import json
import re
from collections.abc import Sequence


class Rules:
    """Names for the parts of a grammar, which later ones may refer to."""

    def __init__(self) -> None:
        self._rules: list[str] = []

    def rule(self, body: str) -> str:
        """Add a rule; returns its name."""
        name = f"r{len(self._rules)}"
        self._rules.append(f"{name}: {body}")
        return name

    def terminal(self, pattern: str) -> str:
        """Add a terminal, given by a regular expression; returns its name."""
        name = f"T{len(self._rules)}"
        self._rules.append(f"{name}: /{in_slashes(pattern)}/")
        return name

    def sequence(self, items: Sequence[tuple[str, bool]], separator: str) -> str:
        """Write items in their order, separated; those that are not required may be left out."""
        first, rest = "", ""
        for item, is_required in reversed(items):
            chosen = self.rule(f"{item} {rest}".strip())
            optional = f"({chosen} | {first})" if first else f"({chosen})?"
            first = chosen if is_required else optional
            step = f"{separator} {item}"
            rest = self.rule(f"{step if is_required else f'({step})?'} {rest}".strip())
        return first or '""'

    def finish(self, start: str) -> str:
        """Write the grammar."""
        return "\n".join([f"start: {start}", *self._rules])


def quoted(text: str) -> str:
    """Write exactly this text."""
    return json.dumps(text, ensure_ascii=False)


def literal_pattern(text: str) -> str:
    """Write a regular expression for exactly this text."""
    return "".join(c if c.isascii() and c.isalnum() else f"\\x{{{ord(c):X}}}" for c in text)


def in_slashes(pattern: str) -> str:
    """Write a regular expression as it stands in Lark."""
    return re.sub(r"(\\.)|/", lambda match: match[1] or "\\/", pattern, flags=re.DOTALL).replace("\n", "\\n")


def times(low: int, high: int | None) -> str:
    """Write what follows an expression that comes `low` to `high` times; None is without limit."""
    match low, high:
        case 1, 1:
            return ""
        case 0, None:
            return "*"
        case 1, None:
            return "+"
        case 0, 1:
            return "?"
    return f"{{{low},{'' if high is None else high}}}"
