"""Which set of adapters a step computes with: llama.cpp's context has one at a time for a whole batch."""

import itertools
from collections.abc import Collection

from caravan.engine.params import AdapterSet
from caravan.engine.sequence import Sequence


class AdapterTurns:
    """Sets take turns, a step each, as far as the owners of their sequences do: the owner goes first for whom
    a step was longest ago, and of its sets the one that was. Who uses many sets has no more steps for it.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._owners: dict[str, int] = {}
        self._sets: dict[AdapterSet, int] = {}

    def choose(self, ready: list[Sequence]) -> list[Sequence]:
        """Leave those of the set whose turn it is, in their order. A question: nobody's turn is over."""
        if len({sequence.lora for sequence in ready}) < 2:
            return ready
        first = min(ready, key=lambda s: (self._owners.get(s.owner, 0), self._sets.get(s.lora, 0), s.arrival))
        return [sequence for sequence in ready if sequence.lora == first.lora]

    def note(self, computed: Collection[Sequence], running: Collection[Sequence]) -> None:
        """Note who has had a step, and forget who does not run any more."""
        if not computed or len({sequence.lora for sequence in running}) < 2:
            return
        number = next(self._numbers)
        self._owners = {s.owner: self._owners.get(s.owner, 0) for s in running}
        self._sets = {s.lora: self._sets.get(s.lora, 0) for s in running}
        self._owners |= {s.owner: number for s in computed}
        self._sets |= {s.lora: number for s in computed}
