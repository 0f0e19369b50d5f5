"""Finished text held against a grammar once more, byte by byte, whatever tokens it came in."""

import time

from llguidance import LLMatcher

from caravan.grammars.compiler import LIMITS, RECURSION, byte_tokens
from caravan.runtime.deep_stack import DeepStack

# A text that takes longer is not judged. Between two looks at the clock come so many bytes.
_MAX_SECONDS = 1.0
_NUM_BYTES = 512


def accepts(grammar: str, text: str) -> bool | None:
    """Whether a grammar that names no tokens has a text as a whole; None where nobody can say.

    May take a second, which others can use.
    """
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        return None
    return DeepStack().call(lambda: _accepts(grammar, raw), RECURSION)


def _accepts(grammar: str, text: bytes) -> bool | None:
    deadline = time.thread_time() + _MAX_SECONDS
    matcher = LLMatcher(byte_tokens(), grammar, log_level=0, limits=LIMITS)
    for at in range(0, len(text), _NUM_BYTES):
        piece = list(text[at : at + _NUM_BYTES])
        num_taken = matcher.try_consume_tokens(piece)
        if matcher.is_error() or time.thread_time() > deadline:
            return None
        if num_taken < len(piece):
            return False
    return None if matcher.is_error() else matcher.is_accepting()
