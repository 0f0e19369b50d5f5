"""How others have gone on from the same tokens, in cells or in the host cache."""

from caravan.engine.kv.radix_tree import CacheScope, RadixTree


class Continuations:
    """Reads the trees of a cache (`KVCache.trees`), and changes nothing."""

    def __init__(self, trees: tuple[RadixTree, ...]) -> None:
        self._trees = trees

    def after(self, token_ids: list[int], scope: CacheScope, most: int) -> list[int]:
        """Tell at most so many tokens with which a sequence in memory goes on that begins with all of these:
        the longest, of the cells first. Those end where they are no longer for this scope.
        """
        keys = scope.keys(token_ids)
        found = (tree.going_on(keys, most) for tree in self._trees)
        return max((scope.readable(run, len(keys)) for run in found), key=len)
