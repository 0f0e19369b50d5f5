"""Attributes of rules in llguidance's dialect of Lark, as in `answer[capture, max_tokens=20]: ...`."""

import re

_QUOTED = r'"(?:\\.|[^"\\\n])*"|/(?:\\.|[^/\\\n])*/'
_HEAD = re.compile(rf"^[ \t]*\??\w+[ \t]*\[(?:{_QUOTED}|[^\]\"/\n])*\]", re.MULTILINE)
_ATTRIBUTE = re.compile(rf"({_QUOTED})|\b(max_tokens|temperature)\s*=\s*[\d.]+")
_NO_LIMIT = "max_tokens=4294967295"


def without_token_limits(grammar: str) -> str:
    """Take limits out that count a model's tokens, so that a text can be held against a grammar."""
    return _HEAD.sub(lambda head: _ATTRIBUTE.sub(_unlimited, head[0]), grammar)


def has_temperature(grammar: str) -> bool:
    """Whether a rule says how it is drawn, on which nobody acts here: the request's temperature holds."""
    heads = _HEAD.finditer(grammar)
    return any(found[2] == "temperature" for head in heads for found in _ATTRIBUTE.finditer(head[0]))


def _unlimited(found: re.Match[str]) -> str:
    return _NO_LIMIT if found[2] == "max_tokens" else found[0]
