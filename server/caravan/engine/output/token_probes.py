"""How likely certain tokens are to come next at the last places of a prompt: what labels are scored by."""

import math
from collections.abc import Sequence

import numpy as np

from caravan.engine.output.prompt_rows import PromptRows
from caravan.engine.sampling.candidates import Floats, Ids, LogSoftmax


class TokenProbes(PromptRows):
    """The log probabilities of `probes[i]` after the i-th of the last `len(probes)` tokens, one row after the
    other.
    """

    def __init__(self, token_ids: Sequence[int], probes: Sequence[Sequence[int]]) -> None:
        super().__init__(len(token_ids), len(token_ids) - len(probes) + 1, num_last_rows=len(probes))
        self._missing = iter(probes)

    def take(self, rows: Floats, ids: Ids) -> None:
        """Note what rows say of their probes."""
        for row in rows:
            softmax = LogSoftmax(row, ids, 0)
            for token_id in next(self._missing):
                entry = softmax.of(token_id)
                if math.isnan(entry.logprob):
                    raise ValueError("a logit is not a number")
                self.entries.append(entry)
            self.next_position += 1

    def take_last(self, row: Floats, ids: Ids) -> None:
        """Note the row [vocab_size] of the last token, after all others."""
        self.take(row[np.newaxis], ids)
