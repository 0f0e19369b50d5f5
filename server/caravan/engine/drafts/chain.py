"""Several proposers for one sequence, and how good each has been."""

from collections.abc import Callable, Sequence

from caravan.engine.drafts.draft_model import DraftModel, Want
from caravan.engine.drafts.model_proposer import ModelProposer
from caravan.engine.drafts.proposer import Draft, DraftSource, Proposer

# What a source is thought to be worth before it has been tried, as if from so many tokens: it is soon known
# better. What has been seen counts less with each token that is seen after it.
_FIRST_RATE = 0.6
_FIRST_WEIGHT = 4.0
_MEMORY = 0.97
# A source that is right less often than this stands back for one that comes after it.
_POOR = 0.3

# How many tokens of a source are wanted now; none of it with 0.
Most = Callable[[DraftSource], int]


class Acceptance:
    """How likely the next drafted token is the one that is drawn, all before it having been."""

    def __init__(self) -> None:
        self._accepted = _FIRST_RATE * _FIRST_WEIGHT
        self._tried = _FIRST_WEIGHT

    @property
    def rate(self) -> float:
        """A moving average, between 0 and 1."""
        return self._accepted / self._tried

    def observe(self, num_proposed: int, num_accepted: int) -> None:
        """Learn from a draft, of which the first so many tokens were drawn. What comes after the first other
        one has not been tried.
        """
        num_tried = min(num_proposed, num_accepted + 1)
        kept = _MEMORY**num_tried
        self._accepted = kept * self._accepted + num_accepted
        self._tried = kept * self._tried + num_tried

    def expected(self, num_drafted: int) -> float:
        """How many of so many drafted tokens will be drawn."""
        rate = self.rate
        if rate >= 1:
            return float(num_drafted)
        return rate * (1 - rate**num_drafted) / (1 - rate)


class ProposerChain:
    """Asks its proposers in their order, the cheapest first, until one knows something and is not mostly
    wrong; if none of these does, the first of the others.

    A draft model comes last. `foresee_all` asks it for several chains at once.
    """

    def __init__(self, cheap: Sequence[Proposer], model: ModelProposer | None = None) -> None:
        self._cheap = tuple(cheap)
        self.model = model
        everyone = [*cheap, *([] if model is None else [model])]
        self.acceptance = {proposer.source: Acceptance() for proposer in everyone}
        # What sources say that stand back: compared, too, so that one can come back.
        self._passed_over: list[Draft] = []
        self._num_known = 0
        # Whether the cheap ones have been asked already, what they said, and what the model is asked for.
        self._is_foreseen = False
        self._foreseen: Draft | None = None
        self._num_wanted = 0

    def propose(self, token_ids: list[int], most: Most) -> Draft | None:
        """Guess what comes after `token_ids`; the sources of which `most` wants nothing are not asked."""
        if not self._is_foreseen or self._num_known != len(token_ids):
            self._ask_cheap(token_ids, most)
        self._is_foreseen = False
        draft = self._foreseen
        if self.model is None or not self._num_wanted:
            return draft
        guess = self.model.propose(token_ids, self._num_wanted)
        if not guess:
            return draft
        self._passed_over += [] if draft is None else [draft]
        return Draft(DraftSource.MODEL, tuple(guess))

    def observe(self, draft: Draft, num_accepted: int) -> None:
        """Learn how many of a draft's tokens, the first ones, were drawn."""
        self.acceptance[draft.source].observe(len(draft.token_ids), num_accepted)

    def want(self, token_ids: list[int], most: Most) -> Want | None:
        """Ask the cheap ones what `propose` will be asked next; what is wanted of the draft model then."""
        self._ask_cheap(token_ids, most)
        self._is_foreseen = True
        if self.model is None or not self._num_wanted:
            return None
        return self.model.want(token_ids, self._num_wanted)

    def _ask_cheap(self, token_ids: list[int], most: Most) -> None:
        self._compare(token_ids)
        poor: list[Draft] = []
        self._foreseen = None
        for proposer in self._cheap:
            wanted = most(proposer.source)
            if wanted <= 0 or not (found := proposer.propose(token_ids, wanted)):
                continue
            draft = Draft(proposer.source, tuple(found))
            if not self._is_poor(draft):
                self._foreseen = draft
                break
            poor.append(draft)
        if self._foreseen is None and poor:
            self._foreseen = poor.pop(0)
        self._passed_over = poor
        is_asked = self.model is not None and self._is_poor(self._foreseen)
        self._num_wanted = most(DraftSource.MODEL) if is_asked else 0

    def _compare(self, token_ids: list[int]) -> None:
        """Learn what those who stood back would have been worth."""
        new, self._num_known = token_ids[self._num_known :], len(token_ids)
        for draft in self._passed_over:
            pairs = list(zip(draft.token_ids, new, strict=False))
            wrong = (place for place, (guess, token_id) in enumerate(pairs) if guess != token_id)
            num_right = next(wrong, len(pairs))
            self.acceptance[draft.source].observe(len(pairs), num_right)

    def _is_poor(self, draft: Draft | None) -> bool:
        return draft is None or self.acceptance[draft.source].rate < _POOR


def foresee_all(model: DraftModel, asked: Sequence[tuple[ProposerChain, list[int], Most]]) -> None:
    """Have the draft model guess in one batch for all chains that are about to be asked: each with what it
    will be asked.
    """
    wants: list[tuple[ModelProposer, Want]] = []
    for chain, token_ids, most in asked:
        want = chain.want(token_ids, most)
        if want is not None and chain.model is not None:
            wants.append((chain.model, want))
    found = model.propose_all([want for _, want in wants])
    for (proposer, want), guess in zip(wants, found, strict=True):
        proposer.foresee(len(want.token_ids), guess)
