"""How much work one place of a grammar in Lark may be to llguidance's parser, told before it is tried.

The parser predicts every rule that may begin at a place, once for each part of a rule that leads there, and
looks through all that it has found so far each time; it can neither be interrupted nor be told a limit. So
the work is bounded by the alternatives of each rule times the places that name it, times the length of all.
"""

import json
import re

from caravan.grammars.complexity.schemas import schema_breadth

# Up to some tenths of a second for one place. Grammars of programming languages come to a hundredth of it.
MAX_BREADTH = 1_000_000_000

_DECODER = json.JSONDecoder()
_PIECES = re.compile(
    r"""
    (?P<text> "(?:[^"\\\n]|\\.)*"i? | /(?:[^/\\\n]|\\.)+/[a-z]* )
    | //[^\n]*
    | (?P<json> %json \s* )
    | (?P<bar> \| )
    | (?P<defined> [A-Za-z_]\w* ) \s* (?:::_)? (?:[{\[][^}\]\n]*[}\]])? (?:\.-?\d+)? \s*:(?!:)
    | (?P<name> [A-Za-z_]\w* )
    """,
    re.VERBOSE,
)


def breadth(text: str) -> float:
    """Add up a bound for a grammar, in comparisons: its rules, and each JSON schema in it by itself."""
    alternatives: dict[str, int] = {}
    uses: dict[str, int] = {}
    size, rule, place, schemas = 0, "", 0, 0.0
    while (piece := _PIECES.search(text, place)) is not None:
        kind, written, place = piece.lastgroup, piece[0], piece.end()
        if kind == "json":
            schema, place = _json(text, place)
            schemas += schema_breadth(schema)
        elif kind == "defined":
            rule = piece["defined"]
            alternatives[rule] = 0 if rule.isupper() else alternatives.get(rule, 0) + 1
        elif rule.isupper():
            # Terminals are the lexer's, which has limits of its own.
            continue
        elif kind == "bar":
            alternatives[rule] = alternatives.get(rule, 0) + 1
        elif kind in ("text", "name"):
            size += 1
            uses[written] = uses.get(written, 0) + 1
    rules = size * (size + sum(count * alternatives.get(name, 0) for name, count in uses.items()))
    return rules + schemas


def _json(text: str, place: int) -> tuple[object, int]:
    """The JSON that begins at a place, and where it ends; nothing, if it is none, as llguidance will tell."""
    try:
        return _DECODER.raw_decode(text, place)
    except (ValueError, RecursionError):
        return None, place
