"""Constraints as llguidance grammars: written from schemas, patterns, choices, Lark and GBNF, and checked.

Nothing here knows a model, except where GBNF names tokens: a grammar speaks of bytes, as does the check.
"""

import functools
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from llguidance import LLMatcher, LLParserLimits, LLTokenizer

from caravan.grammars.call_prefix import CallPrefix
from caravan.grammars.complexity.lark import MAX_BREADTH, breadth
from caravan.grammars.constraint import Constraint
from caravan.grammars.gbnf.lark import Translation
from caravan.grammars.gbnf.syntax import GbnfError
from caravan.grammars.gbnf.tokens import TokenNames
from caravan.grammars.json_escape.nodes import UnescapableError
from caravan.grammars.json_escape.rewriting import escaped_lark
from caravan.grammars.json_schema.expression import expression
from caravan.grammars.lark_text import literal_pattern
from caravan.runtime.deep_stack import DeepStack

# Fuel is what bounds time: reading a grammar takes at most some tenths of a second, a step's mask some
# milliseconds. A state of the lexer takes one or two kilobytes. Keeping the parts of rules that are open at
# one place takes time that grows with the square of their number: 12,000, as of an object of 3,000 optional
# properties, take 20 ms. What grows faster is bounded by `breadth` and `CpuBudget`.
LIMITS = LLParserLimits(
    initial_lexer_fuel=1_000_000,
    step_lexer_fuel=100_000,
    max_items_in_row=20_000,
    step_max_items=50_000,
    max_lexer_states=30_000,
    max_grammar_size=500_000,
    verbose_errors=False,
)

# llguidance recurses along chains of rules; this many kilobytes of stack hold the longest that our limits let
# through, where an ordinary thread would end the process.
RECURSION = 262_144

# Where there is one way on, text is tokenized by the engine and not drawn. All that is forced is found at
# once, so that only constraints that are written here and short may force it: what users write may go on
# and on without a choice.
_UNFORCED = '\n%llguidance {"no_forcing": true}\n'
_MAX_FORCING = 32_768

_PLACE = re.compile(r"^(?:at )?(\d+)\((\d+)\): *")
_CARET = re.compile(r"regex parse error:\n    (?P<line>.*)\n    (?P<indent> *)\^")
_EXCESS = re.compile(r"\n +\d+ \||\n<state>|\n<backtrace>")
_NEEDS_TOKENS = "no tokenizer - can't validate"


class GrammarError(Exception):
    """What is wrong with a constraint, and where in its text, counted from one, if that is known."""

    def __init__(self, message: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column


class GrammarCompiler:
    """Writes constraints and checks them, one at a time; any thread may ask.

    All methods raise GrammarError. They may take some tenths of a second, which others can use: llguidance
    leaves the interpreter alone meanwhile.
    """

    def __init__(self) -> None:
        self._stack = DeepStack()

    def from_schema(self, schema: dict[str, Any]) -> Constraint:
        """Bind to JSON that satisfies a schema, whose keywords are known to be sound."""
        return self._checked(f"start: {expression(schema)}", forces=True)

    def from_regex(self, pattern: str) -> Constraint:
        """Bind to text that matches a regular expression, in Rust's syntax, as a whole."""
        wrapped = json.loads(LLMatcher.grammar_from_regex(pattern))
        # The place in the wrapping says nothing; the one inside the pattern does.
        return self._checked(
            wrapped["grammars"][0]["lark_grammar"], explain=lambda fault: _in_pattern(fault, pattern)
        )

    def from_choices(self, choices: Sequence[str]) -> Constraint:
        """Bind to one of some texts."""
        return self._checked(f"start: /{'|'.join(map(literal_pattern, choices))}/", forces=True)

    def from_lark(self, text: str) -> Constraint:
        """Bind to text of a grammar in llguidance's dialect of Lark."""
        return self._checked(text, find_fault=_text_fault)

    def quoted_rules(self, text: str) -> str:
        """Rewrite a grammar in Lark as one of what stands between the quotes of JSON strings."""
        self.from_lark(text)
        try:
            return self._stack.call(lambda: escaped_lark(text), RECURSION)
        except UnescapableError as error:
            raise GrammarError(str(error)) from error

    def from_tool_grammar(
        self,
        text: str,
        after: tuple[str, ...] = (),
        begins: CallPrefix | None = None,
        *,
        forces: bool = True,
    ) -> Constraint:
        """Bind to text of a grammar that this server wrote, which may name tokens by id: `<[151657]>`.

        Whether such tokens exist, and can begin anything, only the engine of the model finds out.
        """
        checked = self._checked(text, find_fault=_token_fault, forces=forces)
        return msgspec.structs.replace(checked, after=after, begins=begins)

    def from_gbnf(self, text: str, names: TokenNames | None = None) -> Constraint:
        """Bind to text of a grammar in GBNF, which may name tokens of the model that has `names`."""
        try:
            translation = Translation(text, names)
        except GbnfError as error:
            line = text.count("\n", 0, error.offset)
            column = error.offset - (text.rfind("\n", 0, error.offset) + 1)
            raise GrammarError(error.message, line + 1, column + 1) from error
        # Places in the translation say nothing.
        self._checked(translation.without_tokens, explain=lambda fault: GrammarError(_located(fault).message))
        return Constraint(translation.lark + _UNFORCED)

    def _checked(
        self,
        lark: str,
        *,
        find_fault: Callable[[str], str] | None = None,
        explain: Callable[[str], GrammarError] | None = None,
        forces: bool = False,
    ) -> Constraint:
        if breadth(lark) > MAX_BREADTH:
            raise GrammarError("too many alternatives lead to each other")
        grammar = lark if forces and len(lark) <= _MAX_FORCING else lark + _UNFORCED
        fault = self._stack.call(lambda: _fault(grammar, find_fault or _first_step_fault), RECURSION)
        if fault:
            raise (explain or _located)(fault)
        return Constraint(grammar)


def _fault(grammar: str, find_fault: Callable[[str], str]) -> str:
    """What is wrong with a grammar; empty if nothing is."""
    try:
        return find_fault(grammar)
    except BaseException as error:
        # What panics in Rust arrives as an exception that is none of Exception's.
        if type(error).__name__ != "PanicException":
            raise
        return "it cannot be compiled"


def _text_fault(grammar: str) -> str:
    """What is wrong with a grammar that may not name tokens."""
    # Without a model, tokens remain unknown, and a warning says so.
    _, messages = LLMatcher.validate_grammar_with_warnings(grammar, None, limits=LIMITS)
    unknown = next((message for message in messages if _NEEDS_TOKENS in message), "")
    return unknown or _first_step_fault(grammar)


def _token_fault(grammar: str) -> str:
    """What is wrong with a grammar that may name tokens, which remain unknown here."""
    is_error, messages = LLMatcher.validate_grammar_with_warnings(grammar, None, limits=LIMITS)
    return messages[0] if is_error else ""


def _first_step_fault(grammar: str) -> str:
    """Why no text can even begin; empty if one can."""
    matcher = LLMatcher(byte_tokens(), grammar, log_level=0, limits=LIMITS)
    mask = matcher.compute_bitmask()
    if matcher.is_error():
        fault = matcher.get_error()
        return "nothing satisfies it" if fault.startswith("NoExtension") else fault
    return "" if any(mask) else "nothing satisfies it"


@functools.cache
def byte_tokens() -> LLTokenizer:
    """Make a vocabulary of all bytes, for what knows no model."""
    return LLTokenizer("byte")


def _located(fault: str) -> GrammarError:
    """A fault with its place taken out of the text, and without the excerpt that llguidance adds."""
    place = _PLACE.match(fault)
    message = _EXCESS.split(fault[place.end() :] if place else fault)[0].strip()
    if message.startswith("panic:"):
        message = "it is too large"
    if "regex parse error" in message:
        message = message.rsplit("error: ", 1)[-1]
    message = message.replace(_NEEDS_TOKENS, "special tokens are not supported:")
    return GrammarError(message, *(map(int, place.groups()) if place else ()))


def _in_pattern(fault: str, pattern: str) -> GrammarError:
    caret = _CARET.search(fault)
    reason = _located(fault).message
    if caret is None:
        return GrammarError(reason)
    # Newlines reached the regex as two characters; count them back.
    before = caret["line"][: len(caret["indent"])].replace("\\n", "\n")
    line = pattern[: len(before)].count("\n")
    return GrammarError(reason, line + 1, len(before) - (before.rfind("\n") + 1) + 1)
