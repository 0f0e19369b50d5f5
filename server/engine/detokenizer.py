"""Tokens to text: whole characters, and never a stop string nor the beginning of one."""

import codecs

from server.engine.ports import TokenTable


class Detokenizer:
    """The text of one sequence as it grows; constant work per token."""

    def __init__(self, table: TokenTable, stop: tuple[str, ...]) -> None:
        self._table = table
        self._stop = stop
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""
        self.stopped = False

    def push(self, token_id: int) -> str:
        """The text that a token lets go; a complete stop string is left out, and sets `stopped`."""
        self._held += self._decoder.decode(self._table.token_bytes(token_id))
        if not self._stop:
            text, self._held = self._held, ""
            return text
        found = [index for index in map(self._held.find, self._stop) if index >= 0]
        if found:
            self.stopped = True
            text, self._held = self._held[: min(found)], ""
            return text
        keep = _longest_beginning(self._held, self._stop)
        cut = len(self._held) - keep
        text, self._held = self._held[:cut], self._held[cut:]
        return text

    def finish(self) -> str:
        """The text held back as a possible stop string; the bytes of an unfinished character are dropped."""
        text, self._held = self._held, ""
        return text


def _longest_beginning(text: str, stop: tuple[str, ...]) -> int:
    """Length of the longest end of `text` that some stop string begins with."""
    longest = 0
    for string in stop:
        for length in range(min(len(string) - 1, len(text)), longest, -1):
            if text.endswith(string[:length]):
                longest = length
                break
    return longest
