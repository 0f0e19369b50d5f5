r"""How characters stand inside of a JSON string: each in one way, the usual one.

Control characters that have no short escape cannot be written: `\u0001` shows only with its last digit which
character it is.
"""

import functools
import json
import re

from llguidance import LLMatcher, LLTokenizer

from caravan.grammars.json_escape.nodes import NOTHING, Chars, Node, UnescapableError

# What follows the backslash; all other characters stand for themselves.
ESCAPES = {'"': '"', "\\": "\\", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}
_CONTROLS = frozenset(range(0x20))
# A class of Rust's regular expressions.
_PLAIN = r'[^"\\\x00-\x1F]'
ANY = Chars(_PLAIN, "".join(ESCAPES))


@functools.lru_cache(4096)
def characters(atom: str, flags: str) -> Node:
    """Read what a piece of a regular expression matches, which matches one character."""
    if len(atom) == 1 and atom.isalnum() and not flags:
        return Chars(atom, "")
    flagged = f"(?{flags}:{atom})" if flags else atom
    first = first_bytes(in_slashes(flagged))
    specials = "".join(char for char in ESCAPES if ord(char) in first)
    unwritable = _CONTROLS.union(map(ord, ESCAPES))
    if first <= unwritable:
        return Chars(None, specials) if specials else NOTHING
    if first.isdisjoint(unwritable):
        return Chars(flagged, "")
    plain = f"[{atom}&&{_PLAIN}]"
    return Chars(_PLAIN if atom == "." else f"(?{flags}:{plain})" if flags else plain, specials)


def first_bytes(terminal: str) -> frozenset[int]:
    """Find the bytes with which a text of a terminal in Lark may begin. Raises UnescapableError."""
    matcher = LLMatcher(_byte_tokens(), f"start: T\nT: {terminal}", log_level=0)
    mask = matcher.compute_bitmask()
    if matcher.is_error():
        fault = matcher.get_error()
        if fault.startswith("NoExtension"):
            return frozenset()
        raise UnescapableError(f"a terminal is too complex: {fault.splitlines()[0]}")
    return frozenset(byte for byte in range(256) if mask[byte // 8] >> byte % 8 & 1)


def in_slashes(pattern: str) -> str:
    """Write a regular expression as it stands in Lark."""
    escaped = re.sub(r"(\\.)|/", lambda match: match[1] or "\\/", pattern, flags=re.DOTALL)
    return f"/{escaped.replace(chr(10), chr(92) + 'n')}/" if pattern else '""'


def written(value: str) -> str:
    """Write a special character without its backslash, as a string in Lark."""
    return json.dumps(ESCAPES[value])


@functools.cache
def _byte_tokens() -> LLTokenizer:
    return LLTokenizer("byte")
