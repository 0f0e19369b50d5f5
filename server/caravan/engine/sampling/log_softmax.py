"""Log probabilities of tokens, taken from a row of logits."""

import math

import numpy as np

from caravan.engine.outputs import TokenLogprob, packed_top
from caravan.engine.sampling.candidates import Candidates, Floats, Ids

# OpenAI's word for a token that cannot come; minus infinity is no JSON.
_LEAST = -9999.0


class LogSoftmax:
    """The log-softmax of a row of logits [vocab_size], as it is now: its total and its `num_top` likeliest.

    `ids` are all token ids, ascending. Banned tokens (minus infinity) are left out of the likeliest.
    """

    def __init__(self, logits: Floats, ids: Ids, num_top: int) -> None:
        highest = float(logits.max())
        # A row without a finite maximum is refused by whoever draws from it.
        total = float(np.exp(logits - highest).sum(dtype=np.float64)) if math.isfinite(highest) else math.nan
        self._log_total = highest + math.log(total)
        self._top = b""
        if num_top:
            top = Candidates(ids, logits).top(num_top)
            places = np.argsort(-top.logits, kind="stable")
            places = places[top.logits[places] > -np.inf]
            self._top = packed_top(
                top.ids[places].tolist(), (top.logits[places].astype(np.float64) - self._log_total).tolist()
            )

    def of(self, logits: Floats, token_id: int) -> TokenLogprob:
        """A token's log probability; its logit in the row is what it was when the softmax was taken."""
        logprob = max(float(logits[token_id]) - self._log_total, _LEAST)
        return TokenLogprob(token_id, logprob, self._top)
