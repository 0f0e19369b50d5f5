"""Against repetition: penalties by token, over a window of the text so far."""

from collections import deque
from collections.abc import Iterable

import numpy as np

from caravan.engine.sampling.candidates import Floats


class RepetitionPenalties:
    """Repeat, presence and frequency penalty over the last `window` tokens (`llama_sampler_init_penalties`).

    A token seen c > 0 times: its logit is divided by `repeat` if positive, else multiplied (Keskar et al.
    2019, with the usual repair for negative logits), then lowered by c x `frequency` + `presence`. A window
    of -1 is the whole text. Work per step grows with the distinct tokens in it, not with the vocabulary.
    """

    def __init__(self, *, repeat: float, presence: float, frequency: float, window: int) -> None:
        self._repeat = np.float32(repeat)
        self._presence = np.float32(presence)
        self._frequency = np.float32(frequency)
        self._recent: deque[int] = deque(maxlen=None if window < 0 else window)
        self._counts: dict[int, int] = {}

    def accept(self, token_ids: Iterable[int]) -> None:
        """Take tokens into the window, the oldest going out."""
        recent, counts = self._recent, self._counts
        for token_id in token_ids:
            if recent.maxlen == 0:
                return
            if len(recent) == recent.maxlen:
                self._drop(recent[0])
            recent.append(token_id)
            counts[token_id] = counts.get(token_id, 0) + 1

    def apply(self, logits: Floats) -> None:
        """Change a row of logits [vocab_size] in place."""
        if not self._counts:
            return
        ids = np.fromiter(self._counts.keys(), np.int32, len(self._counts))
        counts = np.fromiter(self._counts.values(), np.float32, len(self._counts))
        seen = logits[ids]
        seen = np.where(seen <= 0, seen * self._repeat, seen / self._repeat)
        logits[ids] = seen - (counts * self._frequency + self._presence)

    def _drop(self, token_id: int) -> None:
        self._counts[token_id] -= 1
        if self._counts[token_id] == 0:
            del self._counts[token_id]
