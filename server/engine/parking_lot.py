"""Idle sequences outside of the cells: their state as llama.cpp writes it, kept until it is wanted again."""

import itertools
from collections import OrderedDict
from dataclasses import dataclass

from server.engine.radix_tree import Match, RadixTree
from server.llama.context import State


@dataclass(frozen=True, slots=True)
class Parked:
    """A sequence's tokens under its salt, and what `DecodingContext.save_sequence` gave for them."""

    token_ids: list[int]
    salt: str
    state: State


class ParkingLot:
    """Parked sequences of `capacity` tokens together; beyond that the least recently parked are forgotten."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._tree = RadixTree()
        self._parked: OrderedDict[int, Parked] = OrderedDict()
        self._names = itertools.count()

    @property
    def num_tokens(self) -> int:
        """Tokens in all that is parked."""
        return self._tree.num_cells

    def takes(self, num_tokens: int) -> bool:
        """Whether a sequence of this length could be parked."""
        return 0 < num_tokens <= self._capacity

    def needs(self, token_ids: list[int], salt: str) -> bool:
        """Whether this is not the beginning of what is parked already."""
        return self._tree.match(token_ids, salt).length < len(token_ids)

    def put(self, parked: Parked) -> None:
        """Park a sequence that `takes` agrees to, in the place of its own beginning if that is parked."""
        token_ids, salt = parked.token_ids, parked.salt
        for name in self._tree.match(token_ids, salt, whole=True).seq_ids:
            self.take(name)
        while self._tree.num_cells + len(token_ids) > self._capacity:
            self.take(next(iter(self._parked)))
        name = next(self._names)
        self._tree.insert(name, salt)
        self._tree.extend(name, token_ids)
        self._parked[name] = parked

    def match(self, token_ids: list[int], salt: str) -> Match:
        """The longest prefix of `token_ids` that is parked, and the names of those that begin with it."""
        return self._tree.match(token_ids, salt)

    def length(self, name: int) -> int:
        """How many tokens a parked sequence has."""
        return self._tree.length(name)

    def take(self, name: int) -> Parked:
        """Remove a parked sequence and return it."""
        self._tree.remove(name)
        return self._parked.pop(name)

    def clear(self) -> None:
        """Forget everything."""
        self._tree.clear()
        self._parked.clear()
