"""Writing llguidance's dialect of Lark: what all grammars of tool calls are put together from."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from caravan.chat.tool_formats.tool_spec import INPUT, ToolSpec
from caravan.grammars.json_schema.expression import OPTIONS, expression
from caravan.grammars.lark_text import Rules, in_slashes, literal_pattern, quoted

_SPACE = f"(?:{OPTIONS['whitespace_pattern']})?"
# What a schema may refer to.
DEFINITIONS = ("$defs", "definitions")


class LarkWriter(Rules):
    """Rules under way to a grammar. `marker_ids` are the markers that are one token each in this model."""

    def __init__(self, marker_ids: Mapping[str, int]) -> None:
        super().__init__()
        self.marker_ids = marker_ids
        found = "|".join(map(re.escape, sorted(marker_ids, key=len, reverse=True)))
        self._terminals: dict[str, str] = {}
        self._split = re.compile(f"({found})") if found else None

    def terminal(self, pattern: str) -> str:
        """The name of a terminal, given by a regular expression. Equal ones have the same name."""
        if pattern not in self._terminals:
            self._terminals[pattern] = super().terminal(pattern)
        return self._terminals[pattern]

    def literal(self, text: str) -> str:
        """Exactly this text."""
        parts = self._split.split(text) if self._split else [text]
        return " ".join(
            f"<[{self.marker_ids[part]}]>" if part in self.marker_ids else quoted(part)
            for part in parts
            if part
        )

    def json(self, schema: Mapping[str, Any], root: Mapping[str, Any] | None = None) -> str:
        """JSON of a schema, which may refer to definitions at the root of the one it stands in."""
        definitions = {key: root[key] for key in DEFINITIONS if root and key in root}
        return expression({**definitions, **schema})

    def arguments(self, tool: ToolSpec) -> str:
        """JSON of a tool's arguments, which are always an object."""
        if tool.input_rules is None:
            return self.json({"type": "object", **tool.parameters})
        opening = self.terminal(_SPACE.join([r"\{", f'"{INPUT}"', ":", '"']))
        closing = self.terminal(rf'"{_SPACE}\}}')
        return f"{opening} {self._nested(tool.input_rules)} {closing}"

    def quoted(self, rules: str) -> str:
        """A JSON string, with rules for what stands between its quotes."""
        return self.rule(f'"\\"" {self._nested(rules)} "\\""')

    def _nested(self, rules: str) -> str:
        return self.rule(f"%lark {{\n{rules}\n}}")

    def without(self, terminal: str, pattern: str) -> str:
        """The name of a new terminal: what another one is, unless it matches the pattern as a whole."""
        name = f"T{len(self._rules)}"
        self._rules.append(f"{name}: {terminal} & ~/{in_slashes(pattern)}/")
        return name

    def until(self, end: str, *patterns: str) -> str:
        """Text that matches some patterns as a whole and holds no `end`, and then `end`.

        White space around an `end` belongs to it, but may as well stand in the text.
        """
        name = f"T{len(self._rules)}"
        without = f"~/(?s:.*){literal_pattern(end.strip())}(?s:.*)/"
        text = " & ".join([*(f"/{in_slashes(pattern)}/" for pattern in patterns or ("(?s:.*)",)), without])
        before, *rest = self._split.split(end, 1) if self._split else [end]
        if rest:
            self._rules.append(f"{name}: ({text}) {quoted(before)}" if before else f"{name}: {text}")
            return f"{name} {self.literal(''.join(rest))}"
        # One terminal of both: where a text of its own would stop is the first place that is possible.
        self._rules.append(f"{name}: ({text}) {quoted(end)}")
        return name


def either(options: Sequence[str]) -> str:
    """One of some expressions."""
    return options[0] if len(options) == 1 else f"({' | '.join(options)})"


def repeated(item: str, separator: str = "", *, parallel: bool) -> str:
    """One or, if they may be parallel, several of an item, with a separator in between."""
    return f"{item} ({separator} {item})*" if parallel else item
