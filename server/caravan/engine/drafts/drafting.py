"""What is guessed of one sequence, and what has become of it."""

from collections import Counter

from caravan.engine.drafts.chain import Acceptance, Most, ProposerChain
from caravan.engine.drafts.proposer import Draft, DraftSource

# Steps without a question after guesses that were in vain: as many as these were, and no more than so many.
_MOST_STEPS_OFF = 3
# After so many right tokens in a row, the next is more likely to be right than at other places.
_STEADY = 4


class DraftCounts:
    """Tokens of drafts that were computed, and those of them that were drawn, by their source."""

    def __init__(self) -> None:
        self.proposed: Counter[str] = Counter()
        self.accepted: Counter[str] = Counter()


class Drafting:
    """The draft of the present step, which is compared with what is drawn, computed or not.

    So how good a source is shows, too, while its drafts are not worth computing. At most `most` tokens are
    drafted at once. `num_accepted` and `num_rejected` are tokens of the request's own prediction that were
    computed, and were drawn or not.
    """

    def __init__(self, chain: ProposerChain, most: int, counts: DraftCounts) -> None:
        self.chain = chain
        self.most = most
        self._counts = counts
        self._draft: Draft | None = None
        self._num_computed = 0
        self._num_right = 0
        self._num_in_row = 0
        self._acceptances: dict[tuple[DraftSource, bool], Acceptance] = {}
        self._num_vain = 0
        self._num_steps_off = 0
        self.num_accepted = 0
        self.num_rejected = 0

    @property
    def rate(self) -> float:
        """How likely a token of the draft is right, if those before it are."""
        return 0.0 if self._draft is None else self._acceptance(self._draft.source).rate

    def rests(self) -> bool:
        """Tell whether to ask nobody in this step, and count it: the last guesses were in vain."""
        self._num_steps_off += 1
        return self._num_steps_off <= min(self._num_vain, _MOST_STEPS_OFF)

    def guess(self, token_ids: list[int], most: Most) -> tuple[int, ...]:
        """Draft tokens after those known, of each source at most so many; none where nobody knows any."""
        self.end()
        self._draft = self.chain.propose(token_ids, most)
        self._num_vain, self._num_steps_off = self._num_vain + 1, 0
        if self._draft is None:
            self._num_in_row = 0
        return () if self._draft is None else self._draft.token_ids

    def compute(self, count: int) -> None:
        """Note that the first tokens of the draft have been computed."""
        if self._draft is not None:
            self._num_computed = count
            self._counts.proposed[self._draft.source] += count

    def note(self, token_id: int) -> None:
        """Compare a token that has been drawn."""
        draft, place = self._draft, self._num_right
        if draft is None:
            return
        is_right = draft.token_ids[place] == token_id
        self._acceptance(draft.source).observe(1, int(is_right))
        if not is_right:
            self._num_in_row = 0
            self._close(draft, place + 1)
            return
        self._num_in_row += 1
        self._num_right += 1
        self._num_vain = 0
        if place < self._num_computed:
            self._counts.accepted[draft.source] += 1
            self.num_accepted += draft.source is DraftSource.PREDICTION
        if self._num_right == len(draft.token_ids):
            self._close(draft, self._num_right)

    def end(self) -> None:
        """Compare no further: the text has ended, or goes on without a draft."""
        if self._draft is not None:
            self._close(self._draft, self._num_right)

    def _acceptance(self, source: DraftSource) -> Acceptance:
        """What is known of guesses like the next: some have just been right one after the other, as where a
        text is copied, or they have not.
        """
        is_steady = self._num_in_row >= _STEADY
        return self._acceptances.setdefault((source, is_steady), Acceptance())

    def _close(self, draft: Draft, num_compared: int) -> None:
        """Learn from what has been compared; the rest of what was computed was in vain."""
        if num_compared:
            self.chain.observe(Draft(draft.source, draft.token_ids[:num_compared]), self._num_right)
        if draft.source is DraftSource.PREDICTION:
            self.num_rejected += max(0, self._num_computed - self._num_right)
        self._draft, self._num_computed, self._num_right = None, 0, 0
