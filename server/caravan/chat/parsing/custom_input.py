"""The input of a custom tool, which the model writes as the one string of a JSON object."""

import json
import re

from caravan.chat.tool_formats.tool_spec import INPUT

_OPENING = re.compile(rf'\s*\{{\s*"{INPUT}"\s*:\s*"')
# A string's text: plain characters and whole escapes, both halves of a surrogate pair together.
_PIECE = re.compile(
    r"""(?:[^"\\]
    |\\["\\/bfnrt]
    |\\u(?![dD][89abAB])[0-9a-fA-F]{4}
    |\\u[dD][89abAB][0-9a-fA-F]{2}(?:\\u[0-9a-fA-F]{4}|(?=[^\\]|\\[^u]))
    )+""",
    re.VERBOSE,
)


class CustomInput:
    """Pieces of `{"input": "..."}` into pieces of the text that the string stands for."""

    def __init__(self) -> None:
        self._held = ""
        self._is_inside = False

    def finish(self) -> str:
        """Get the whole text, if it was no such object; without a grammar, a model may write anything."""
        text = "" if self._is_inside else self._held
        self._held = ""
        return text

    def feed(self, text: str) -> str:
        """Take a piece in, and get the text that it completes. Whatever follows the string is dropped."""
        self._held += text
        if not self._is_inside:
            opening = _OPENING.match(self._held)
            if opening is None:
                return ""
            self._is_inside = True
            self._held = self._held[opening.end() :]
        piece = _PIECE.match(self._held)
        if piece is None:
            return ""
        self._held = self._held[piece.end() :]
        text = str(json.loads(f'"{piece[0]}"', strict=False))
        # Half of a pair stands for nothing, and no answer could hold it.
        return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
