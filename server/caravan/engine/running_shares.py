"""What owners have of the places to run and of the memory, and who goes where others have a right to some."""

from collections import Counter
from collections.abc import Iterable

from caravan.engine.sequence import Sequence
from caravan.engine.waiting_queue import turn_of

# What is left of floating point when shares are compared.
_TOLERANCE = 1e-9


class RunningShares:
    """What each owner has of the places to run and of the cells: the larger of the two fractions, which is to
    be in proportion to its weight among those who run (dominant resource fairness, Ghodsi et al., 2011).

    A `newcomer` counts as one who runs. One owner alone has all of it.
    """

    def __init__(
        self, running: Iterable[Sequence], max_running: int, num_cells: int, newcomer: Sequence | None = None
    ) -> None:
        self._running = list(running)
        self._max_running = max_running
        self._num_cells = num_cells
        self._newcomer = newcomer
        everybody = self._running if newcomer is None else [*self._running, newcomer]
        self._weights = {sequence.owner: sequence.weight for sequence in everybody}
        self._total_weight = sum(self._weights.values())
        self._num_running = Counter(sequence.owner for sequence in self._running)
        self._num_tokens: Counter[str] = Counter()
        for sequence in self._running:
            self._num_tokens[sequence.owner] += sequence.num_tokens

    def has_right(self) -> bool:
        """Tell whether the newcomer's owner stays within its share with it."""
        newcomer = self._newcomer
        assert newcomer is not None
        return self._excess(newcomer.owner, 1, newcomer.num_tokens) <= _TOLERANCE

    def to_make_way(self) -> Sequence | None:
        """Choose who goes for the newcomer, which has a right to be there: the newest sequence of who is the
        furthest over their share, and none of a higher priority.
        """
        newcomer = self._newcomer
        assert newcomer is not None
        return self._newest(
            sequence for sequence in self._running if turn_of(sequence)[0] >= turn_of(newcomer)[0]
        )

    def to_preempt(self) -> Sequence:
        """Choose who goes when memory is short: of the lowest priority, the newest of who is over a share."""
        lowest = max(turn_of(sequence)[0] for sequence in self._running)
        least = [sequence for sequence in self._running if turn_of(sequence)[0] == lowest]
        return self._newest(least) or max(least, key=turn_of)

    def _newest(self, candidates: Iterable[Sequence]) -> Sequence | None:
        by_owner: dict[str, list[Sequence]] = {}
        for sequence in candidates:
            by_owner.setdefault(sequence.owner, []).append(sequence)
        owner = max(by_owner, key=self._excess, default=None)
        if owner is None or self._excess(owner) <= _TOLERANCE:
            return None
        return max(by_owner[owner], key=turn_of)

    def _excess(self, owner: str, num_running: int = 0, num_tokens: int = 0) -> float:
        """How much more than its share an owner has, with so much besides."""
        used = max(
            (self._num_running[owner] + num_running) / self._max_running,
            (self._num_tokens[owner] + num_tokens) / self._num_cells,
        )
        return used - self._weights[owner] / self._total_weight
