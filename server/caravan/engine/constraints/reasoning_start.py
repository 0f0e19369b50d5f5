"""The beginning of a text that may open thoughts."""

import copy

import numpy as np

from caravan.engine.interfaces import Ids, Logits, Mask
from caravan.engine.params import Reasoning

# A text that has not opened its thoughts within so many tokens is no thought.
MAX_OPENING = 16
WHITESPACE = b" \t\r\n"


class ReasoningStart:
    """Whether a text opens thoughts: with its first bytes, or, if it is bound, with certain tokens."""

    def __init__(self, reasoning: Reasoning | None, mask: Mask | None) -> None:
        self._start_ids = reasoning.start_token_ids if reasoning else ()
        self._start = reasoning.start if reasoning else ""
        self._is_bound = mask is not None
        # None as soon as the text so far can be nothing but the beginning of the marker.
        self.mask = mask
        self.num_taken = 0
        self.pieces: list[tuple[int, bytes]] = []

    def copied(self, mask: Mask | None) -> "ReasoningStart":
        """A beginning that has come as far, with a copy of its mask."""
        twin = copy.copy(self)
        twin.mask = None if self.mask is None else mask
        twin.pieces = list(self.pieces)
        return twin

    @property
    def is_possible(self) -> bool:
        """Whether there is a marker to begin with."""
        return bool(self._start_ids if self._is_bound else self._start)

    @property
    def is_complete(self) -> bool:
        """Whether a bound text has opened its thoughts."""
        return self.num_taken == len(self._start_ids)

    @property
    def next_ids(self) -> Ids | None:
        """The token with which a bound text goes on to open its thoughts; None if it is not bound."""
        if not self._is_bound:
            return None
        return np.array(self._start_ids[self.num_taken : self.num_taken + 1], np.int32)

    def takes(self, token_id: int) -> bool:
        """Tell whether a token of a bound text belongs to the marker; if so, it is noted.

        The mask then goes on as long as the token may also be bound text, and begins anew after the marker.
        """
        if token_id != self._start_ids[self.num_taken]:
            return False
        self.num_taken += 1
        if self.is_complete:
            if self.mask is not None:
                self.mask.reset()
        elif self.mask is not None and not self.mask.admits(token_id):
            self.mask = None
        return True

    def text_with(self, more: bytes) -> bytes:
        """Return the text of an unbound opening, white space in front left out."""
        return b"".join([*(text for _, text in self.pieces), more]).lstrip(WHITESPACE)


def forbid_except(mask: Mask | None, logits: Logits, ids: Ids) -> Ids | None:
    """Let a mask forbid tokens, all if there is none, but for those of these ids."""
    kept = logits[ids]
    if mask is None:
        allowed: Ids | None = ids
        logits.fill(-np.inf)
    else:
        allowed = mask.forbid(logits)
    logits[ids] = kept
    return None if allowed is None else np.union1d(allowed, ids)
