"""Which tokens may come at all: bias, bans, allowed tokens, forbidden words, and no early end."""

from collections.abc import Collection, Iterable

import numpy as np

from caravan.engine.params import SamplingParams
from caravan.engine.sampling.candidates import Floats, Ids


class VocabularyRules:
    """What a request says about single tokens, applied to a row of logits before anything else.

    `end_ids` are the tokens that end generation by the model's own wish.
    """

    def __init__(self, params: SamplingParams, end_ids: Collection[int]) -> None:
        self._bias_ids = _ids(token_id for token_id, _ in params.logit_bias)
        self._bias = np.array([bias for _, bias in params.logit_bias], np.float32)
        allowed = params.allowed_token_ids
        self._allowed = None if allowed is None else np.unique(_ids(allowed))
        single = [words[0] for words in params.bad_words if len(words) == 1]
        self._banned = _ids([*single, *(end_ids if params.ignore_eos else ())])
        self._early = _ids({*end_ids, *params.stop_token_ids})
        # By the token before the last, so that a thousand of them cost a draw no more than one.
        self._phrases: dict[int, list[tuple[list[int], int]]] = {}
        self._longest = 0
        for *before, last in (words for words in params.bad_words if len(words) > 1):
            self._phrases.setdefault(before[-1], []).append((before, last))
            self._longest = max(self._longest, len(before))
        self._min_tokens = params.min_tokens
        self._tail: list[int] = []
        self._num_drawn = 0

    @property
    def is_neutral(self) -> bool:
        """Whether no row is ever changed."""
        sizes = (len(self._bias_ids), len(self._banned), len(self._phrases), self._min_tokens)
        return self._allowed is None and not any(sizes)

    def accept(self, token_ids: Iterable[int]) -> None:
        """Note text that precedes the draws."""
        if self._longest:
            self._tail = [*self._tail, *token_ids][-self._longest :]

    def accept_drawn(self, token_id: int) -> None:
        """Note a draw."""
        self._num_drawn += 1
        self.accept([token_id])

    def apply(self, logits: Floats) -> None:
        """Change a row of logits [vocab_size] in place."""
        logits[self._bias_ids] += self._bias
        if self._allowed is not None:
            kept = logits[self._allowed]
            logits.fill(-np.inf)
            logits[self._allowed] = kept
        logits[self._banned] = -np.inf
        if self._num_drawn < self._min_tokens:
            logits[self._early] = -np.inf
        for before, last in self._phrases.get(self._tail[-1], ()) if self._tail else ():
            if self._tail[-len(before) :] == before:
                logits[last] = -np.inf


def _ids(token_ids: Iterable[int]) -> Ids:
    return np.array(list(token_ids), np.int32)
