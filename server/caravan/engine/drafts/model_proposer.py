"""Drafts of the draft model, for one sequence."""

from caravan.engine.drafts.draft_model import DraftModel, Reader, Want
from caravan.engine.drafts.proposer import DraftSource
from caravan.engine.kv.radix_tree import CacheScope


class ModelProposer:
    """Asks the draft model, unless that has been asked for several sequences just before."""

    def __init__(self, model: DraftModel, scope: CacheScope) -> None:
        self._model = model
        self._reader = Reader(scope)
        # Known tokens, and what the model guesses after them.
        self._foreseen: tuple[int, list[int]] = (0, [])

    @property
    def source(self) -> DraftSource:
        """The draft model."""
        return DraftSource.MODEL

    def propose(self, token_ids: list[int], most: int) -> list[int]:
        """Guess what follows (`Proposer`)."""
        num_known, found = self._foreseen
        if num_known != len(token_ids):
            (found,) = self._model.propose_all([self.want(token_ids, most)])
        return found[:most]

    def want(self, token_ids: list[int], most: int) -> Want:
        """What it asks of the model."""
        return Want(self._reader, token_ids, most)

    def foresee(self, num_known: int, found: list[int]) -> None:
        """Keep what the model guesses after so many tokens."""
        self._foreseen = num_known, found
