"""Tokens to text: whole characters, and never a stop string nor the beginning of one."""

import codecs

from server.engine.params import SamplingParams
from server.engine.ports import TokenTable


class Detokenizer:
    """The text of one sequence as it grows; constant work per token.

    The text ends at the `stop_limit`-th occurrence of any stop string; occurrences do not overlap, and the
    one that begins first counts. The last is left out, unless `include_stop` is set; those before stay.
    Control tokens have no text unless they are among `shown_token_ids`. `num_decoded` counts the characters
    that the tokens came to, held ones included.
    """

    def __init__(
        self, table: TokenTable, params: SamplingParams, shown_token_ids: tuple[int, ...] = ()
    ) -> None:
        self._table = table
        self._shown = frozenset(shown_token_ids)
        self._stop = params.stop
        self._num_left = params.stop_limit
        self._include_stop = params.include_stop
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""
        self.stopped = False
        self.num_decoded = 0

    def push(self, token_id: int) -> str:
        """The text that a token lets go; at the stop string that ends the text, `stopped` is set."""
        self._decode(token_id)
        if not self._stop:
            return self.finish()
        passed = ""
        while (found := self._first_stop()) is not None:
            start, end = found
            self._num_left -= 1
            if self._num_left == 0:
                self.stopped = True
                passed += self._held[: end if self._include_stop else start]
                self._held = ""
                return passed
            passed, self._held = passed + self._held[:end], self._held[end:]
        cut = len(self._held) - _longest_beginning(self._held, self._stop)
        passed, self._held = passed + self._held[:cut], self._held[cut:]
        return passed

    def push_unstopped(self, token_id: int) -> str:
        """The text of a token at which no stop string may end the text yet."""
        self._decode(token_id)
        return self.finish()

    def finish(self) -> str:
        """The text held back as a possible stop string; the bytes of an unfinished character are dropped."""
        text, self._held = self._held, ""
        return text

    def _decode(self, token_id: int) -> None:
        is_shown = token_id in self._shown
        text = self._decoder.decode(
            self._table.raw_bytes(token_id) if is_shown else self._table.token_bytes(token_id)
        )
        self.num_decoded += len(text)
        self._held += text

    def _first_stop(self) -> tuple[int, int] | None:
        """Where the first stop string in the held text starts and ends; of two at one place, the shorter."""
        found = [(self._held.find(string), len(string)) for string in self._stop]
        start, length = min(((start, length) for start, length in found if start >= 0), default=(-1, 0))
        return None if start < 0 else (start, start + length)


def _longest_beginning(text: str, stop: tuple[str, ...]) -> int:
    """Length of the longest end of `text` that some stop string begins with."""
    longest = 0
    for string in stop:
        for length in range(min(len(string) - 1, len(text)), longest, -1):
            if text.endswith(string[:length]):
                longest = length
                break
    return longest
