"""Checkpoints by the tokens that lead to them, within a number of bytes.

Rule kept: one depends on nothing but these tokens. So it serves whoever begins with them, and outlives the
sequence that it was taken of.
"""

import itertools
from collections import OrderedDict
from collections.abc import Callable

from caravan.engine.kv.radix_tree import RadixTree
from caravan.llama.context import State


class CheckpointStore:
    """Keeps at most `capacity` bytes; beyond that, the checkpoint that was used least recently goes."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._tree = RadixTree()
        self._states: OrderedDict[int, State] = OrderedDict()
        self._names = itertools.count()
        self.num_bytes = 0

    def __len__(self) -> int:
        return len(self._states)

    def longest(self, keys: list[int]) -> int:
        """Tell how many of these tokens the longest checkpoint has that begins like them; 0 without any."""
        return self._tree.match(keys, whole=True).length

    def find(self, keys: list[int]) -> State | None:
        """Return the checkpoint after exactly these tokens, which counts as used by that."""
        match = self._tree.match(keys, whole=True)
        if not keys or match.length != len(keys):
            return None
        (name,) = match.seq_ids
        self._states.move_to_end(name)
        return self._states[name]

    def keep(self, keys: list[int], state: State) -> bool:
        """Keep a checkpoint after these tokens, where there is none; False if it is too large to be kept."""
        if len(state) > self._capacity:
            return False
        while self.num_bytes + len(state) > self._capacity:
            self._forget_oldest()
        name, stem = next(self._names), self._tree.match(keys)
        if stem.length:
            self._tree.fork(min(stem.seq_ids), name, stem.length)
        else:
            self._tree.insert(name)
        self._tree.extend(name, keys[stem.length :])
        self._states[name] = state
        self.num_bytes += len(state)
        return True

    def forget(self, is_unwanted: Callable[[list[int]], bool]) -> None:
        """Forget those after such tokens."""
        for name in [name for name in self._states if is_unwanted(self._tree.tokens(name))]:
            self._tree.remove(name)
            self.num_bytes -= len(self._states.pop(name))

    def clear(self) -> None:
        """Forget everything."""
        self._tree.clear()
        self._states.clear()
        self.num_bytes = 0

    def _forget_oldest(self) -> None:
        name, state = self._states.popitem(last=False)
        self._tree.remove(name)
        self.num_bytes -= len(state)
