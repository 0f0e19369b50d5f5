"""Tokens of an answer that stand already, taken by their rows of logits as if they had been drawn."""

from collections.abc import Callable, Sequence

from caravan.engine.outputs import TokenLogprob
from caravan.engine.sampling.candidates import Floats, Ids

# Takes a row [vocab_size], which it may change, and the token that follows it.
Follow = Callable[[Floats, int], None]

# Rows that one step takes at most. Each is as much work as a draw, up to some milliseconds where nothing
# truncates a large vocabulary, and everybody's next token waits for it.
_MOST_ROWS = 16


class Replay:
    """Hands the rows before the last `num_standing` tokens to `follow`, one after the other, as they become
    known.

    It stands where `PromptScores` does, and tells nothing. What comes before the first of these rows may be
    taken from memory.
    """

    def __init__(self, token_ids: Sequence[int], num_standing: int, follow: Follow) -> None:
        self._token_ids = token_ids
        self._follow = follow
        self.next_position = len(token_ids) - num_standing
        self.num_last_rows = num_standing + 1
        self.entries: list[TokenLogprob] = []

    @property
    def is_complete(self) -> bool:
        """Whether no row is wanted but that of the last token, which every prompt gives."""
        return self.next_position >= len(self._token_ids)

    def recall(self) -> None:
        """Nothing is kept of other prompts but their cells."""

    def touch(self) -> None:
        """Nothing is kept."""

    def num_rows(self, start: int, num_tokens: int) -> int:
        """Count the rows that are wanted of the tokens from `start` on, apart from the last token's."""
        end = min(start + num_tokens, len(self._token_ids) - 1)
        return max(0, end - max(start, self.next_position - 1))

    def num_fitting(self, start: int, num_rows: int) -> int | None:
        """Tell how many tokens from `start` on want no more rows than this; None for any number."""
        end = max(start, self.next_position - 1) + min(num_rows, _MOST_ROWS)
        return None if end >= len(self._token_ids) - 1 else end - start

    def take(self, rows: Floats, _ids: Ids) -> None:
        """Take the rows of logits [num_rows, vocab_size] that come next; raises what `follow` does."""
        for row in rows:
            token_id = self._token_ids[self.next_position]
            self.next_position += 1
            self._follow(row, token_id)
