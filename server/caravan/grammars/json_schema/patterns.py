"""Regular expressions of clients, held against finished text by an engine that never backtracks.

It is Rust's, by way of pydantic: the same dialect as the grammars', other code. What it would cost is known
beforehand, as the interpreter stands still meanwhile.
"""

import functools
import json
import re
from collections.abc import Callable

from pydantic_core import SchemaError, SchemaValidator, core_schema

from caravan.grammars.compiler import GrammarCompiler, GrammarError
from caravan.grammars.recognizer import accepts

# An expression's weight is about the number of states that it is compiled to. Up to the first, a compiled one
# is a hundred kilobytes at most and is kept; up to the second, compiling takes 30 ms at most. States times
# characters are what matching takes, 15 ms at most.
_LIGHT = 5_000
_MAX_WEIGHT = 20_000
_MAX_WORK = 2_000_000
_NUM_KEPT = 64

_PART = re.compile(
    r"\\[pP]\{[^}]*\}|\\[ux]\{[^}]*\}|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{(\d{1,9})(?:,(\d{0,9}))?\}|.",
    re.DOTALL,
)
_HAS_COMMENTS = re.compile(r"\(\?[A-Za-z]*x")
_OF_LETTERS = re.compile(r"\\[wWpPbB]")
_ESCAPED = re.compile(r"\\.", re.DOTALL)
_ASCII = {r"\w": "[0-9A-Za-z_]", r"\W": "[^0-9A-Za-z_]", r"\d": "[0-9]", r"\D": "[^0-9]"}
_NO_STATE = frozenset("*+?|^$")


def is_in(pattern: str, text: str) -> bool | None:
    """Whether a part of a text matches, as `pattern` asks in a JSON schema; None where nobody can say."""
    return _is_in(_as_in_ecma_script(pattern), text, functools.partial(_is_string, pattern))


def matches(pattern: str, text: str) -> bool | None:
    """Whether all of a text matches a regular expression that is a constraint; None where nobody can say."""
    # The line feed ends a comment, should the expression allow for comments.
    end = "\n)$" if _HAS_COMMENTS.search(pattern) else ")$"
    return _is_in(f"^(?:{pattern}{end}", text, functools.partial(_is_whole, pattern))


def _as_in_ecma_script(pattern: str) -> str:
    """Schemas' expressions are ECMAScript's, where letters and digits are ASCII's; so grammars have them."""
    return _ESCAPED.sub(lambda found: _ASCII.get(found[0], found[0]), pattern)


def _is_in(pattern: str, text: str, slowly: Callable[[str], bool | None]) -> bool | None:
    """By the fast engine, or `slowly` by the grammars' own, where the interpreter goes on meanwhile."""
    weight = _weight(pattern)
    if weight > _MAX_WEIGHT or weight * len(text) > _MAX_WORK:
        return slowly(text)
    expression = _kept(pattern) if weight <= _LIGHT else _compiled(pattern)
    if expression is None or not _is_unicode(text):
        return slowly(text)
    return expression.isinstance_python(text)


def _compiled(pattern: str) -> SchemaValidator | None:
    try:
        return SchemaValidator(core_schema.str_schema(strict=True, pattern=pattern))
    except SchemaError:
        return None


_kept = functools.lru_cache(_NUM_KEPT)(_compiled)


def _is_string(pattern: str, text: str) -> bool | None:
    try:
        made = GrammarCompiler().from_schema({"type": "string", "pattern": pattern})
    except GrammarError:
        return None
    return accepts(made.grammar, json.dumps(text, ensure_ascii=False))


def _is_whole(pattern: str, text: str) -> bool | None:
    try:
        made = GrammarCompiler().from_regex(pattern)
    except GrammarError:
        return None
    return accepts(made.grammar, text)


def _weight(pattern: str) -> int:
    """How many states an expression has, about, or more."""
    groups, last = [0], 0
    for part in _PART.finditer(pattern):
        text = part[0]
        if part[1] is not None:
            times = max(int(part[1]), int(part[2] or 0), 1)
            groups[-1] += last * (times - 1)
            last *= times
        elif text == "(":
            groups.append(0)
            last = 0
        elif text == ")" and len(groups) > 1:
            last = groups.pop()
            groups[-1] += last
        elif text not in _NO_STATE:
            last = _num_states(text)
            groups[-1] += last
    return sum(groups)


def _num_states(part: str) -> int:
    """Of one character, or of a class: letters are many, digits some, other classes a few ranges of bytes."""
    if _OF_LETTERS.search(part):
        return 1_000
    if r"\d" in part.lower():
        return 80
    return 8 if part == "." or len(part) > 1 else 1


def _is_unicode(text: str) -> bool:
    """Halves of surrogate pairs, which JSON may name, are no characters."""
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)
