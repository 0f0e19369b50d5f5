"""Tokens of an answer that stand already, taken by their rows of logits as if they had been drawn."""

from collections.abc import Callable, Sequence

from caravan.engine.output.prompt_rows import PromptRows
from caravan.engine.sampling.candidates import Floats, Ids

# Takes a row [vocab_size], which it may change, and the token that follows it.
Follow = Callable[[Floats, int], None]

# Rows that one step takes at most. Each is as much work as a draw, up to some milliseconds where nothing
# truncates a large vocabulary, and everybody's next token waits for it.
_MOST_ROWS = 16


class Replay(PromptRows):
    """Hands the rows before the last `num_standing` tokens to `follow`, and tells nothing."""

    def __init__(self, token_ids: Sequence[int], num_standing: int, follow: Follow) -> None:
        super().__init__(len(token_ids), len(token_ids) - num_standing, num_last_rows=num_standing + 1)
        self._token_ids = token_ids
        self._follow = follow

    def num_fitting(self, start: int, num_rows: int) -> int | None:
        """Tell how many tokens one step may take."""
        return super().num_fitting(start, min(num_rows, _MOST_ROWS))

    def take(self, rows: Floats, _ids: Ids) -> None:
        """Hand on the rows that come next; raises what `follow` does."""
        for row in rows:
            token_id = self._token_ids[self.next_position]
            self.next_position += 1
            self._follow(row, token_id)
