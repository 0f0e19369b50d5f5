"""Finished answers held against what binds them: what they say, and the calls that they make."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from caravan.chat.tool_formats.tool_spec import INPUT
from caravan.grammars.json_schema.patterns import matches
from caravan.grammars.json_schema.validator import SchemaChecker
from caravan.grammars.recognizer import accepts


class Checker(Protocol):
    """Says what is wrong with a finished text: None if nothing is, or nobody can say."""

    def fault(self, text: str) -> str | None:
        """What is wrong, in words that may stand behind a colon."""


class ChoiceChecker:
    """One of some texts."""

    def __init__(self, choices: Sequence[str]) -> None:
        self._choices = frozenset(choices)

    def fault(self, text: str) -> str | None:
        """Implements Judge."""
        return None if text in self._choices else "it is none of the choices"


class RegexChecker:
    """Text that matches an expression as a whole."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern

    def fault(self, text: str) -> str | None:
        """Implements Judge."""
        return "it does not match the regular expression" if matches(self._pattern, text) is False else None


class GrammarChecker:
    """Text of a grammar in Lark."""

    def __init__(self, grammar: str) -> None:
        self._grammar = grammar

    def fault(self, text: str) -> str | None:
        """Implements Judge."""
        return "it is not a text of the grammar" if accepts(self._grammar, text) is False else None


class InputChecker:
    """The input of a custom tool, which is an argument of a schema."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._judge = SchemaChecker(schema)

    def fault(self, text: str) -> str | None:
        """Implements Judge."""
        return self._judge.fault_in({INPUT: text})


@dataclass(kw_only=True)
class Call:
    """A call as clients read it, as far as it has come."""

    id: str
    name: str
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What the tool is given: its arguments as JSON, or the input of a custom tool."""
        return "".join(self.pieces)


@dataclass(frozen=True)
class ParsedAnswer:
    """All that a choice says. Content is null where there are calls and no text beside them.

    With `has_whole_calls`, there are calls, and the last has all of its arguments.
    """

    content: str | None
    reasoning: str = ""
    calls: Sequence[Call] = ()
    has_whole_calls: bool = False


@dataclass(frozen=True)
class AnswerChecker:
    """What judges the content of an answer without calls, and calls by the names of their tools.

    With `may_be_cut`, the request itself may end an answer anywhere.
    """

    content: Checker | None = None
    calls: Mapping[str, Checker] = field(default_factory=dict)
    may_be_cut: bool = False

    def fault(self, said: ParsedAnswer) -> str | None:
        """How a finished answer breaks what binds it, None if it keeps to it or nobody can say."""
        if said.calls and not said.has_whole_calls:
            return None if self.may_be_cut else "a call has not come to its end"
        for call in said.calls:
            if (fault := self.fault_of_call(call)) is not None:
                return fault
        if said.calls or said.content is None or self.content is None:
            return None
        return self.content.fault(said.content)

    def fault_of_call(self, call: Call) -> str | None:
        """How a finished call breaks what binds it."""
        judge = self.calls.get(call.name)
        fault = None if judge is None else judge.fault(call.text)
        return None if fault is None else f"in the call of '{call.name}', {fault}"
