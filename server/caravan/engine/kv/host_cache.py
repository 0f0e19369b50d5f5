"""Idle sequences in the memory of the host, outside of the cells: their state as llama.cpp writes it."""

import itertools
import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from caravan.engine.kv.radix_tree import Match, RadixTree
from caravan.llama.context import State

# A state for each piece of a sequence, or one of the whole.
Copy = tuple[State, ...]

# Offloading copies a sequence with what others share; that much of it has to be its own.
_OWN_SHARE = 1 / 8
# An offloaded sequence comes back for this many tokens and this share of it; a few are quicker computed.
_MIN_FETCHED = 32
_FETCHED_SHARE = 1 / 16


@dataclass(frozen=True, slots=True)
class Usage:
    """Whose a sequence is, how many of its tokens, from the first, were used more than once, and the name of
    its scope.
    """

    owner: str = ""
    num_reused: int = 0
    scope: str = ""


@dataclass(frozen=True, slots=True)
class OffloadedSequence:
    """The keys of a sequence's tokens, what cells held of them, and how it is used.

    It takes as much memory as `weight` times as many cells.
    """

    keys: list[int]
    copy: Copy
    usage: Usage = Usage()
    weight: float = 1.0

    @property
    def size(self) -> int:
        """The tokens that it counts as."""
        return math.ceil(len(self.keys) * self.weight)


class HostKVCache:
    """Offloaded sequences of `capacity` tokens together.

    Beyond that, what was offloaded least recently of the owner who has the most there is forgotten. Where a
    memory cannot be cut, the beginning of another is no use.
    """

    def __init__(self, capacity: int, *, can_cut: bool = True) -> None:
        self._capacity = capacity
        self._can_cut = can_cut
        self.tree = RadixTree()
        self._offloaded: OrderedDict[int, OffloadedSequence] = OrderedDict()
        self._names = itertools.count()

    @property
    def num_tokens(self) -> int:
        """Tokens in all that is offloaded."""
        return self.tree.num_cells

    def takes(self, num_tokens: int, num_own: int) -> bool:
        """Tell whether a sequence of this length could be offloaded, and enough of it is its own."""
        return 0 < num_tokens <= self._capacity and num_own >= _OWN_SHARE * num_tokens

    def is_worth_fetching(self, name: int, gain: int) -> bool:
        """Tell whether an offloaded sequence should come back for the sake of so many of its tokens."""
        return gain >= max(_MIN_FETCHED, _FETCHED_SHARE * self.length(name))

    def needs(self, keys: list[int]) -> bool:
        """Tell whether this is not there already, as the beginning of another at best."""
        return self.tree.match(keys, whole=not self._can_cut).length < len(keys)

    def offload(self, sequence: OffloadedSequence) -> None:
        """Keep a sequence that `takes` agrees to, in the place of its own beginning if that is here."""
        keys = sequence.keys
        for name in self.tree.match(keys, whole=True).seq_ids:
            self.restore(name)
        if sequence.size > self._capacity:
            return
        while self._size() + sequence.size > self._capacity:
            newcomer = (sequence.usage.owner, sequence.size)
            owner = owner_of_most([newcomer, *((p.usage.owner, p.size) for p in self._offloaded.values())])
            owned = (name for name, p in self._offloaded.items() if p.usage.owner == owner)
            self.restore(next(owned, next(iter(self._offloaded))))
        name = next(self._names)
        self.tree.insert(name)
        self.tree.extend(name, keys)
        self._offloaded[name] = sequence

    def _size(self) -> int:
        return sum(offloaded.size for offloaded in self._offloaded.values())

    def latest_first(self) -> Iterator[OffloadedSequence]:
        """Yield all that is offloaded."""
        return reversed(self._offloaded.values())

    def match(self, keys: list[int]) -> Match:
        """Find the longest prefix of `keys` that is offloaded, and the names of those that begin with it."""
        return self.tree.match(keys)

    def length(self, name: int) -> int:
        """Count the tokens of an offloaded sequence."""
        return self.tree.length(name)

    def restore(self, name: int) -> OffloadedSequence:
        """Give back an offloaded sequence, for the cells; it is no longer kept here."""
        self.tree.remove(name)
        return self._offloaded.pop(name)

    def forget(self, is_unwanted: Callable[[str], bool]) -> None:
        """Forget what is of the scopes of such names."""
        for name in [name for name, found in self._offloaded.items() if is_unwanted(found.usage.scope)]:
            self.restore(name)

    def clear(self) -> None:
        """Forget everything."""
        self.tree.clear()
        self._offloaded.clear()


def owner_of_most(owned: Iterable[tuple[str, int]]) -> str:
    """Tell who has the most tokens, of owners with how many they have in one place or another."""
    totals: Counter[str] = Counter()
    for owner, num_tokens in owned:
        totals[owner] += num_tokens
    return max(totals, key=totals.__getitem__)
