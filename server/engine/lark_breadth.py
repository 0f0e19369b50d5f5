"""How much work one place of a grammar in Lark may be to llguidance's parser, told before it is tried.

The parser predicts every rule that may begin at a place, once for each part of a rule that leads there, and
looks through all that it has found so far each time; it can neither be interrupted nor be told a limit. So
the work is bounded by the alternatives of each rule times the places that name it, times the length of all.
"""

import re

# Up to some tenths of a second for one place. Grammars of programming languages come to a hundredth of it.
MAX_BREADTH = 1_000_000_000

_PIECES = re.compile(
    r"""
    (?P<text> "(?:[^"\\\n]|\\.)*"i? | /(?:[^/\\\n]|\\.)+/[a-z]* )
    | //[^\n]*
    | (?P<json> %json )
    | (?P<brace> [{}] )
    | (?P<bar> \| )
    | (?P<defined> [A-Za-z_]\w* ) \s* (?:::_)? (?:[{\[][^}\]\n]*[}\]])? (?:\.-?\d+)? \s*:(?!:)
    | (?P<name> [A-Za-z_]\w* )
    """,
    re.VERBOSE,
)


def breadth(text: str) -> int:
    """An upper bound for a grammar, in comparisons; JSON schemas inside are left out."""
    alternatives: dict[str, int] = {}
    uses: dict[str, int] = {}
    size, rule, depth, is_json = 0, "", 0, False
    for piece in _PIECES.finditer(text):
        kind, written = piece.lastgroup, piece[0]
        if is_json:
            depth += (written == "{") - (written == "}") if kind == "brace" else 0
            is_json = depth > 0 or kind != "brace"
        elif kind == "json":
            is_json = True
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
    return size * (size + sum(count * alternatives.get(name, 0) for name, count in uses.items()))
