"""Finished text held against regular expressions of clients, by the engine of the grammars.

It never backtracks, and the interpreter goes on meanwhile.
"""

import functools
import json

from caravan.grammars.compiler import GrammarCompiler, GrammarError
from caravan.grammars.recognizer import Recognizer

_NUM_KEPT = 64


def is_in(pattern: str, text: str) -> bool | None:
    """Tell whether a part of a text matches, as `pattern` asks in a schema; None where nobody can say."""
    strings = _strings(pattern)
    # The one character that `json` leaves as it is and grammars escape.
    quoted = json.dumps(text, ensure_ascii=False).replace("\x7f", r"\u007f")
    return None if strings is None else strings.accepts(quoted)


def matches(pattern: str, text: str) -> bool | None:
    """Tell whether all of a text matches an expression that is a constraint; None where nobody can say."""
    texts = _texts(pattern)
    return None if texts is None else texts.accepts(text)


@functools.lru_cache(_NUM_KEPT)
def _strings(pattern: str) -> Recognizer | None:
    """Strings of JSON in which the pattern is found."""
    try:
        return Recognizer(GrammarCompiler().from_schema({"type": "string", "pattern": pattern}).grammar)
    except GrammarError:
        return None


@functools.lru_cache(_NUM_KEPT)
def _texts(pattern: str) -> Recognizer | None:
    try:
        return Recognizer(GrammarCompiler().from_regex(pattern).grammar)
    except GrammarError:
        return None
