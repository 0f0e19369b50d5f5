r"""Patterns written so that JSON's escapes stand for no character which they exclude.

llguidance's grammar of a pattern takes a set that holds all control characters for one that holds every
character which has an escape of its own: `[^"\\]` then admits `\"` and `\\`. So no set is left that holds all
of them: NUL is taken out.
"""

import re
from typing import Any

# A set in brackets without sets inside, or one by a property, which may leave the quotation mark out as well.
_SET = re.compile(r"\\[pP](?:\{[^}]*\}|\w)|\\.|\[\^?\]?(?:\\.|[^\]\[\\])*\]|\[", re.DOTALL)
_COMMENTS = re.compile(r"\(\?[A-Za-z-]*x")
_VALUES = ("const", "enum", "default", "examples")


def without_nul(schema: Any) -> Any:  # noqa: ANN401 (any part of a schema)
    """The schema with the sets of its patterns short of NUL."""
    if isinstance(schema, list):
        return [without_nul(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    written = {key: value if key in _VALUES else without_nul(value) for key, value in schema.items()}
    if isinstance(pattern := written.get("pattern"), str):
        written["pattern"] = _short(pattern)
    if isinstance(names := written.get("patternProperties"), dict):
        written["patternProperties"] = {_short(name): inner for name, inner in names.items()}
    return written


def _short(pattern: str) -> str:
    """The pattern with NUL taken out of every set; as it is where sets cannot be told from other text."""
    if _COMMENTS.search(pattern) or any(found[0] == "[" for found in _SET.finditer(pattern)):
        return pattern
    return _SET.sub(_set_without_nul, pattern)


def _set_without_nul(found: re.Match[str]) -> str:
    text = found[0]
    if text.startswith("[") or text[:2] in (r"\p", r"\P"):
        return rf"[{text}&&[^\x00]]"
    return text
