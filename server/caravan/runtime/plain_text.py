"""Text that others have written, as it may be shown on a terminal or in a line of a log."""

import re

# What moves a terminal's cursor, ends a line for some reader or turns the order of letters round.
_MARKS = r"\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff"
_IN_A_LINE = re.compile(rf"[\x00-\x08\x0a-\x1f{_MARKS}]")
# Scripts and symbols are joined by zero-width characters, which texts for people may have.
_IN_A_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]|\r(?!\n)")


def plain_line(text: str) -> str:
    """Write a text as one line of visible characters; the others are escaped as in Python."""
    return _IN_A_LINE.sub(_written, text)


def plain_text(text: str) -> str:
    """Write a text, which may have lines, without what a terminal would obey."""
    return _IN_A_TEXT.sub(_written, text)


def _written(found: re.Match[str]) -> str:
    return ascii(found[0])[1:-1]
