"""llama.cpp's `infill`: a gap in a text is filled with what is certain, or the text ends there."""

from bisect import bisect_left
from collections.abc import Callable, Collection

import numpy as np
from numpy.typing import NDArray

from caravan.engine.sampling.candidates import Candidates, Floats

# So many of the likeliest are looked at; clients have 40 left by then.
_MOST = 1000
# How likely a token has to be, alone or with those that begin as it does.
_CERTAIN = 0.2


class Infill:
    """Ends the text where that is likely, counts tokens of one beginning as one, and keeps the likely ones
    (`llama_sampler_init_infill`, which says that the end is likely where three times its probability, for
    each candidate, is more than that of all text).

    `row` [vocab_size] are the logits of the next draw, of which it reads which ends of text may come.
    """

    def __init__(self, end_ids: Collection[int], token_bytes: Callable[[int], bytes]) -> None:
        self._end_ids = np.array(sorted(end_ids), np.int32)
        self._token_bytes = token_bytes
        self.row: Floats | None = None

    def __call__(self, candidates: Candidates) -> Candidates:
        """Keep those that may fill the gap. Where none is likely, the end comes, if it may."""
        best = candidates.top(_MOST)
        chances, is_end = best.probabilities(), np.isin(best.ids, self._end_ids)
        if 3 * float(chances[is_end].sum()) * best.size > float(chances[~is_end].sum()):
            return best.where(is_end)
        self._merge(best, chances)
        keep = is_end | (chances >= _CERTAIN)
        num_texts = int(np.count_nonzero(keep & ~is_end))
        if not num_texts:
            return self._end() or best.top(1)
        chances /= chances[keep].sum()
        return best.where(is_end | (keep & (chances >= 1 / (num_texts + 1))))

    def _merge(self, best: Candidates, chances: NDArray[np.float64]) -> None:
        """Give the chance of a token to one that is its beginning, or the other way, whichever is likelier.

        Both are looked for from the likeliest on. A chance that was given away is minus infinity.
        """
        order = np.argsort(-best.logits, kind="stable").tolist()
        pieces = [self._token_bytes(token_id) for token_id in best.ids[order].tolist()]
        by_text = sorted(range(len(pieces)), key=pieces.__getitem__)
        texts = [pieces[rank] for rank in by_text]
        for rank, piece in enumerate(pieces):
            first = bisect_left(texts, piece)
            last = bisect_left(texts, True, first, key=lambda text: not text.startswith(piece))
            for other in sorted(by_text[first:last]) if piece else ():
                here, there = order[rank], order[other]
                if chances[here] < 0:
                    break
                if other == rank or chances[there] < 0:
                    continue
                if chances[there] > chances[here]:
                    here, there = there, here
                chances[here] += chances[there]
                chances[there] = -np.inf

    def _end(self) -> Candidates | None:
        """The likeliest end of text that may come."""
        assert self.row is not None
        possible = self._end_ids[self.row[self._end_ids] > -np.inf]
        return Candidates(possible, self.row[possible]).top(1) if len(possible) else None
