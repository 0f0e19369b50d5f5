"""Where a text is between reasoning, markers and constraint."""

from enum import Enum


class Stage(Enum):
    """OPENING: thoughts may begin. LEADING: white space may come before what is bound.

    BEGINNING: the answer may begin in the way that binds it.
    """

    OPENING = "opening"
    THINKING = "thinking"
    LEADING = "leading"
    BEGINNING = "beginning"
    SEARCHING = "searching"
    BOUND = "bound"
    FREE = "free"
