"""Room for the windows of sequences, where layers with a sliding window have fewer cells than the others."""

from collections.abc import Iterable

from caravan.engine.interfaces import DecodingContext
from caravan.engine.kv.radix_tree import RadixTree


class Windows:
    """Counts them: each sequence has those cells to itself that its next token sees, and no others."""

    def __init__(self, context: DecodingContext, tree: RadixTree) -> None:
        self._context = context
        self._tree = tree

    def fit(self, lengths: Iterable[int]) -> bool:
        """Tell whether there is room for sequences of these lengths at once, and a batch."""
        most, window = self._context.num_window_cells, self._context.sliding_window
        return not most or sum(min(window, length) for length in lengths) <= most

    def fit_beside(self, length: int) -> bool:
        """Tell whether there is room for one more, of this length, beside all in memory."""
        return self.fit([length, *map(self._tree.length, self._tree.seq_ids)])
