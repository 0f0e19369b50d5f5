"""How likely certain tokens are to come next at the last places of a prompt: what labels are scored by."""

import math
from collections.abc import Sequence

import numpy as np

from caravan.engine.outputs import TokenLogprob
from caravan.engine.sampling.candidates import Floats, Ids, LogSoftmax


class TokenProbes:
    """The log probabilities of `probes[i]` after the i-th of the last `len(probes)` tokens, one row after the
    other, as they become known.

    It stands where `PromptScores` does. What comes before the first of these places may be taken from memory.
    """

    def __init__(self, token_ids: Sequence[int], probes: Sequence[Sequence[int]]) -> None:
        self._num_tokens = len(token_ids)
        self._probes = probes
        self._num_taken = 0
        self.num_last_rows = len(probes)
        self.entries: list[TokenLogprob] = []

    @property
    def next_position(self) -> int:
        """Where the token stands before which the next row is wanted."""
        return self._num_tokens - len(self._probes) + self._num_taken + 1

    @property
    def is_complete(self) -> bool:
        """Whether no row is wanted but that of the last token, which every prompt gives."""
        return self.next_position >= self._num_tokens

    def recall(self) -> None:
        """Nothing is kept of other prompts but their cells."""

    def touch(self) -> None:
        """Nothing is kept."""

    def num_rows(self, start: int, num_tokens: int) -> int:
        """Count the rows that are wanted of the tokens from `start` on, apart from the last token's."""
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
        for row in rows:
            softmax = LogSoftmax(row, ids, 0)
            for token_id in self._probes[self._num_taken]:
                entry = softmax.of(token_id)
                if math.isnan(entry.logprob):
                    raise ValueError("a logit is not a number")
                self.entries.append(entry)
            self._num_taken += 1

    def take_last(self, row: Floats, ids: Ids) -> None:
        """Note the row [vocab_size] of the last token, after all others."""
        self.take(row[np.newaxis], ids)
