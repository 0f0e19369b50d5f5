r"""The part of a grammar in llguidance's Lark that is the JSON of a plain schema.

llguidance takes a set in a pattern that holds all control characters for one that holds every character which
JSON escapes: `[^"\\]` would admit `\"` and `\\`. So NUL is taken out of each set.
"""

import json
import re
from typing import Any

# A set in brackets without sets inside, or one by a property, which may leave the quotation mark out as well.
_SET = re.compile(r"\\[pP](?:\{[^}]*\}|\w)|\\.|\[\^?\]?(?:\\.|[^\]\[\\])*\]|\[", re.DOTALL)
_COMMENTS = re.compile(r"\(\?[A-Za-z-]*x")
_VALUES = ("const", "enum", "default", "examples")

# Enough white space for any indented style, too little to babble in.
OPTIONS = {"whitespace_pattern": r"( |\n[ \t]{0,40})", "lenient": False, "coerce_one_of": False}


def expression(schema: dict[str, Any]) -> str:
    """Write the right side of a rule for JSON of a schema."""
    return f"%json {json.dumps({**_without_nul(schema), 'x-guidance': OPTIONS})}"


def _without_nul(schema: Any) -> Any:  # noqa: ANN401 (any part of a schema)
    """The schema with the sets of its patterns short of NUL."""
    if isinstance(schema, list):
        return [_without_nul(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    written = {key: value if key in _VALUES else _without_nul(value) for key, value in schema.items()}
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
