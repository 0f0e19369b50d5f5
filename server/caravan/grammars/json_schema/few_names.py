"""The names that patterns leave to an object, where they are few enough to be told one by one."""

import functools
import json
from collections import deque
from collections.abc import Collection

from llguidance import LLMatcher

from caravan.grammars.compiler import LIMITS, GrammarCompiler, GrammarError, byte_tokens

# What is looked at: it takes some milliseconds a pattern.
_MAX_NAMES = 64
_MAX_LENGTH = 1_000
_MAX_BEGINNINGS = 300


def has_too_few(declared: Collection[str], patterns: Collection[str], wanted: int) -> bool:
    """Whether an object surely cannot have as many properties as wanted, of no other names than these."""
    names = set(declared)
    for pattern in patterns:
        # Those that are declared may be among them.
        found = names_of(pattern) if len(names) < wanted else None
        if found is None:
            return False
        names |= found
    return len(names) < wanted


@functools.lru_cache(64)
def names_of(pattern: str) -> frozenset[str] | None:
    """The texts in which a pattern is found; None if these are too many, or it is not known."""
    if len(pattern) > _MAX_LENGTH:
        return None
    try:
        made = GrammarCompiler().from_schema({"type": "string", "pattern": pattern})
    except GrammarError:
        return None
    found: set[str] = set()
    waiting = deque([(LLMatcher(byte_tokens(), made.grammar, log_level=0, limits=LIMITS), b"")])
    for _ in range(_MAX_BEGINNINGS):
        if not waiting:
            return frozenset(found)
        matcher, begun = waiting.popleft()
        if matcher.is_accepting():
            found.add(json.loads(begun))
            continue
        steps = _next_steps(matcher)
        # Each beginning leads to a name at least.
        if matcher.is_error() or len(found) + len(waiting) + len(steps) > _MAX_NAMES:
            return None
        for step in steps:
            after = matcher.deep_copy()
            after.consume_tokens(list(step))
            waiting.append((after, begun + step))
    return None


def _next_steps(matcher: LLMatcher) -> list[bytes]:
    """What has to come next, or the bytes that can."""
    if forced := matcher.compute_ff_bytes():
        return [forced]
    mask = matcher.compute_bitmask()
    return [bytes([byte]) for byte in range(256) if mask[byte // 8] >> byte % 8 & 1]
