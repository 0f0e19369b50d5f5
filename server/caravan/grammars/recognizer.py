"""Finished text held against a grammar once more, byte by byte, whatever tokens it came in."""

import time

from llguidance import LLMatcher

from caravan.grammars.compiler import LIMITS, RECURSION, byte_tokens
from caravan.grammars.lark_attributes import without_token_limits
from caravan.runtime.deep_stack import SAFE_RUN, DeepStack

# A text that takes longer is not judged. Between two looks at the clock come so many bytes.
_MAX_SECONDS = 1.0
_NUM_BYTES = 512


def accepts(grammar: str, text: str) -> bool | None:
    """Tell whether a grammar that names no tokens has a text as a whole; None where nobody can say.

    May take a second, which others can use.
    """
    return Recognizer(grammar).accepts(text)


class Recognizer:
    """A grammar that many texts are held against; compiled for the first of them. Any thread may ask."""

    def __init__(self, grammar: str) -> None:
        # Tokens are bytes here.
        self._grammar = without_token_limits(grammar)
        self._start: LLMatcher | None = None
        self._stack = DeepStack()

    def accepts(self, text: str) -> bool | None:
        """Tell the same as the function `accepts`."""
        try:
            raw = text.encode()
        except UnicodeEncodeError:
            return None
        # Nothing recurses more often than a grammar has characters.
        if len(self._grammar) <= SAFE_RUN:
            return self._accepts(raw)
        return self._stack.call(lambda: self._accepts(raw), RECURSION)

    def _accepts(self, text: bytes) -> bool | None:
        deadline = time.thread_time() + _MAX_SECONDS
        start = self._start or LLMatcher(byte_tokens(), self._grammar, log_level=0, limits=LIMITS)
        self._start, matcher = start, start.deep_copy()
        verdict = self._verdict(matcher, text, deadline)
        if matcher.is_error():
            # Copies share their lexer; one that has come to its limits is of no use to others.
            self._start = None
        return verdict

    def _verdict(self, matcher: LLMatcher, text: bytes, deadline: float) -> bool | None:
        for at in range(0, len(text), _NUM_BYTES):
            piece = list(text[at : at + _NUM_BYTES])
            num_taken = matcher.try_consume_tokens(piece)
            if matcher.is_error() or time.thread_time() > deadline:
                return None
            if num_taken < len(piece):
                return False
        return None if matcher.is_error() else matcher.is_accepting()
