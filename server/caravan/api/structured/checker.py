"""Finished answers held against what binds them: what they say, and the calls that they make."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from caravan.chat.tool_formats.tool_spec import INPUT
from caravan.grammars.json_schema.patterns import matches
from caravan.grammars.json_schema.validator import SchemaChecker
from caravan.grammars.recognizer import accepts

# Says what is wrong with a finished text, in words that may stand behind a colon; None if nothing is, or
# nobody can say.
Check = Callable[[str], str | None]


def choice_check(choices: Sequence[str]) -> Check:
    """Check for one of some texts."""
    known = frozenset(choices)
    return lambda text: None if text in known else "it is none of the choices"


def regex_check(pattern: str) -> Check:
    """Check for text that matches an expression as a whole."""
    fault = "it does not match the regular expression"
    return lambda text: fault if matches(pattern, text) is False else None


def grammar_check(grammar: str) -> Check:
    """Check for text of a grammar in Lark."""
    fault = "it is not a text of the grammar"
    return lambda text: fault if accepts(grammar, text) is False else None


def input_check(schema: dict[str, Any]) -> Check:
    """Check for the input of a custom tool, which is an argument of a schema."""
    checker = SchemaChecker(schema)
    return lambda text: checker.fault_in({INPUT: text})


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
    """Checks the content of an answer without calls, and calls by the names of their tools.

    With `may_be_cut`, the request itself may end an answer anywhere.
    """

    content: Check | None = None
    calls: Mapping[str, Check] = field(default_factory=dict)
    may_be_cut: bool = False

    def fault(self, said: ParsedAnswer) -> str | None:
        """Say how a finished answer breaks what binds it; None if it keeps to it or nobody can say."""
        if said.calls and not said.has_whole_calls:
            return None if self.may_be_cut else "a call has not come to its end"
        for call in said.calls:
            if (fault := self.fault_of_call(call)) is not None:
                return fault
        if said.calls or said.content is None or self.content is None:
            return None
        return self.content(said.content)

    def fault_of_call(self, call: Call) -> str | None:
        """Say how a finished call breaks what binds it."""
        check = self.calls.get(call.name)
        fault = None if check is None else check(call.text)
        return None if fault is None else f"in the call of '{call.name}', {fault}"
