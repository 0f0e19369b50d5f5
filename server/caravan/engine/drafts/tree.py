"""Drafts from sequences that began with the same tokens: an answer made again, an agent's repeated turn."""

from caravan.engine.drafts.proposer import DraftSource
from caravan.engine.kv.continuations import Continuations
from caravan.engine.kv.radix_tree import CacheScope

# Tokens of another's text that are kept, as that may be gone with the next step.
_MAX_KEPT = 1024
# Where nobody is found now, somebody may come, or a neighbour get ahead. Looking takes time with the length.
_TOKENS_BETWEEN_LOOKS = 64


class TreeProposer:
    """Goes along with one other sequence of the same `CacheScope`, as long as the two agree."""

    def __init__(self, continuations: Continuations, scope: CacheScope) -> None:
        self._continuations = continuations
        self._scope = scope
        self._kept: list[int] = []
        # The position of the first kept token, how far the text is known to agree, and when to look again.
        self._first = 0
        self._num_agreed = 0
        self._next_look = 0

    @property
    def source(self) -> DraftSource:
        """Another sequence's cells."""
        return DraftSource.TREE

    def propose(self, token_ids: list[int], most: int) -> list[int]:
        """Guess what follows (`Proposer`)."""
        rest = self._rest(token_ids)
        if not rest and len(token_ids) >= self._next_look:
            self._look(token_ids)
            rest = self._kept
        return rest[:most]

    def _rest(self, token_ids: list[int]) -> list[int]:
        """What is kept beyond the text; nothing if that has gone another way."""
        new = token_ids[self._num_agreed :]
        at = self._num_agreed - self._first
        if self._kept[at : at + len(new)] != new:
            self._kept = []
        self._num_agreed = len(token_ids)
        return self._kept[len(token_ids) - self._first :]

    def _look(self, token_ids: list[int]) -> None:
        self._first = self._num_agreed = len(token_ids)
        self._kept = self._continuations.after(token_ids, self._scope, _MAX_KEPT)
        self._next_look = self._first + (1 if self._kept else _TOKENS_BETWEEN_LOOKS)
