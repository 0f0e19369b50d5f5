"""Rows of logits that are wanted of a prompt's tokens, and not only of its last one."""

from caravan.engine.outputs import TokenLogprob
from caravan.engine.sampling.candidates import Floats, Ids


class PromptRows:
    """Takes the rows before the tokens from `next_position` on, one after the other, as they become known.

    `num_last_rows` is how many rows are wanted at the prompt's end whatever others have found; what comes
    before the first of these may be taken from memory. `entries` are what is told of the prompt.
    """

    def __init__(self, num_tokens: int, next_position: int, num_last_rows: int = 1) -> None:
        self._num_tokens = num_tokens
        self.next_position = next_position
        self.num_last_rows = num_last_rows
        self.entries: list[TokenLogprob] = []

    @property
    def is_complete(self) -> bool:
        """Whether no row is wanted but that of the last token, which every prompt gives."""
        return self.next_position >= self._num_tokens

    def recall(self) -> None:
        """Take over what is known of other prompts, if anything is kept of them but their cells."""

    def touch(self) -> None:
        """Note that what is kept of the prompt is used."""

    def num_rows(self, start: int, num_tokens: int) -> int:
        """Count the rows of logits that are wanted of the tokens from `start` on; they are the last of them,
        apart from the row of the prompt's last token.
        """
        end = min(start + num_tokens, self._num_tokens - 1)
        return max(0, end - max(start, self.next_position - 1))

    def num_fitting(self, start: int, num_rows: int) -> int | None:
        """Tell how many tokens from `start` on want no more rows than this; None for any number."""
        end = max(start, self.next_position - 1) + num_rows
        return None if end >= self._num_tokens - 1 else end - start

    def take(self, rows: Floats, ids: Ids) -> None:
        """Note the rows of logits [num_rows, vocab_size] that come next; `ids` are all token ids.

        Raises ValueError when a logit is no number.
        """
        raise NotImplementedError
