"""What of a text in memory a newcomer can go on with, and how it begins there, by the kind of memory.

Cells of plain attention can be cut anywhere. Those that fell out of a sliding window may be gone, and a state
is that of a sequence's end alone: there it takes a checkpoint.
"""

from collections.abc import Collection

from caravan.engine.embedding.values import PrefixReuse
from caravan.engine.interfaces import DecodingContext
from caravan.engine.kv.checkpoints import Checkpoints
from caravan.engine.kv.radix_tree import Match, RadixTree
from caravan.engine.media.keys import num_whole


def prefix_reuse(context: DecodingContext, checkpoint_bytes: int | None) -> PrefixReuse:
    """Tell where others can go on from a text in such a memory."""
    if context.partial is not None and checkpoint_bytes != 0:
        return "checkpoints"
    return "anywhere" if context.can_cut else "whole"


class Reuse:
    """Reads a tree, and changes the context alone: the tree's own changes are `KVCache`'s."""

    def __init__(self, context: DecodingContext, tree: RadixTree, checkpoints: Checkpoints) -> None:
        self._context = context
        self._partial = context.partial
        self._tree = tree
        self._checkpoints = checkpoints

    def match(self, keys: list[int]) -> Match:
        """Find the longest prefix of `keys` that can be gone on with, and who holds it."""
        if self._context.can_cut:
            match = _match(self._tree, keys)
            reachable = frozenset(i for i in match.seq_ids if self._reaches(i, match.length))
            if reachable:
                return Match(match.length, reachable)
            if not self._context.sliding_window:
                return Match(0, frozenset())
        return self._whole_or_checkpoint(self._tree, keys)

    def held(self, keys: list[int]) -> Match:
        """Find the longest prefix of `keys` in cells, whether it can be gone on with or not."""
        return _match(self._tree, keys)

    def match_copies(self, tree: RadixTree, keys: list[int]) -> Match:
        """Find the longest prefix that could be gone on with if what has it in another tree came back."""
        return _match(tree, keys) if self._context.can_cut else self._whole_or_checkpoint(tree, keys)

    def source_of(self, match: Match, idle: Collection[int]) -> int | None:
        """Choose whom to go on from: a sequence that is nothing but the prefix and idle, else any."""
        if not match.seq_ids:
            return None
        whole = {i for i in match.seq_ids if i in idle and self._tree.length(i) == match.length}
        return min(match.seq_ids, key=lambda i: (i not in whole, i not in idle, i))

    def begin(self, seq_id: int, source: int | None, keys: list[int]) -> bool:
        """Have an empty sequence hold the tokens that `match` has found in `source`; False if it cannot."""
        length = len(keys)
        if source is not None and self._can_copy(source, length):
            self._context.copy_sequence(source, seq_id, length if self._context.can_cut else None)
            return True
        state = self._checkpoints.use(keys)
        if self._partial is None or state is None:
            return False
        return self._partial.fork(source, seq_id, length, state)

    def take_over(self, seq_id: int, keys: list[int]) -> bool:
        """Have a sequence hold only the tokens that `match` has found in it; False leaves it empty.

        Where it ends there, that place is kept for those who will go another way.
        """
        length = len(keys)
        if self._tree.length(seq_id) == length:
            self._checkpoints.take(seq_id)
            return True
        if self._can_copy(seq_id, length):
            self._context.truncate_sequence(seq_id, length)
            return True
        state = self._checkpoints.use(keys)
        if self._partial is None or state is None:
            self._context.remove_sequence(seq_id)
            return False
        return self._partial.rewind(seq_id, length, state)

    def _whole_or_checkpoint(self, tree: RadixTree, keys: list[int]) -> Match:
        """Find a sequence that is nothing but a prefix, or a longer one with a checkpoint after it."""
        whole = _match(tree, keys, whole=True)
        if not self._checkpoints.are_kept:
            return whole
        needs_cells = self._partial is None or not self._partial.is_all
        longest = self._checkpoints.longest(keys[: tree.match(keys).length] if needs_cells else keys)
        if longest <= whole.length:
            return whole
        return Match(longest, tree.match(keys[:longest]).seq_ids if needs_cells else frozenset())

    def _can_copy(self, seq_id: int, length: int) -> bool:
        """Tell whether a prefix that a sequence holds can be gone on with as it is."""
        if self._tree.length(seq_id) == length:
            return True
        return self._context.can_cut and self._reaches(seq_id, length)

    def _reaches(self, seq_id: int, length: int) -> bool:
        """Tell whether the memory still has what a continuation after `length` tokens looks back on.

        llama.cpp reuses cells that fell out of a sliding window, and purges all before them. The token at
        position `length` sees those above `length - window`.
        """
        window = self._context.sliding_window
        return window == 0 or self._context.min_position(seq_id) <= max(0, length - window + 1)


def _match(tree: RadixTree, keys: list[int], *, whole: bool = False) -> Match:
    """`RadixTree.match`, of prefixes that do not end inside of an image: it is computed, and used, whole."""
    match = tree.match(keys, whole=whole)
    length = num_whole(keys, match.length)
    return match if length == match.length else _match(tree, keys[:length], whole=whole)
