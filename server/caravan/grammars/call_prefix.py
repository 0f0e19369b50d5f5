"""How a text begins that is calls of tools and nothing else, where no marker says so."""

import re
from dataclasses import dataclass

# White space between what stands in a beginning, as a regular expression.
SPACE = r"[ \t\r\n]{0,40}"
_SPACE = re.compile(SPACE)


@dataclass(frozen=True, slots=True)
class CallPrefix:
    """One of the `heads`, piece by piece with white space behind each or not, and then one of the `ends`."""

    heads: tuple[tuple[str, ...], ...]
    ends: tuple[str, ...]

    def stands_in(self, text: str) -> bool | None:
        """Tell whether a text begins so; None while there is too little of it to say."""
        verdicts = {self._follows(head, text) for head in self.heads}
        return True if True in verdicts else None if None in verdicts else False

    def _follows(self, head: tuple[str, ...], text: str) -> bool | None:
        for piece in head:
            if not text.startswith(piece):
                return None if piece.startswith(text) else False
            space = _SPACE.match(text, len(piece))
            assert space is not None, "no white space is white space, too"
            text = text[space.end() :]
        if text.startswith(self.ends):
            return True
        return None if any(end.startswith(text) for end in self.ends) else False
