"""Which set of adapters a step computes with: llama.cpp's context has one at a time for a whole batch."""

from collections.abc import Collection

from caravan.engine.params import AdapterSet
from caravan.engine.sequence import Sequence


class AdapterTurns:
    """Sets take turns, a step each, as far as the owners of their sequences do: the owner goes first for whom
    a step was longest ago, and of its sets the one that was. Who uses many sets has no more steps for it.
    Newcomers come behind all but those of the last step, so that nobody waits for ever while others come.
    """

    def __init__(self) -> None:
        self._num_steps = 0
        self._owners: dict[str, int] = {}
        self._sets: dict[AdapterSet, int] = {}

    def choose(self, ready: list[Sequence]) -> list[Sequence]:
        """Leave those of the set whose turn it is, in their order. A question: nobody's turn is over."""
        if len({sequence.lora for sequence in ready}) < 2:
            return ready
        new = self._newcomer
        first = min(
            ready, key=lambda s: (self._owners.get(s.owner, new), self._sets.get(s.lora, new), s.arrival)
        )
        return [sequence for sequence in ready if sequence.lora == first.lora]

    def note(self, computed: Collection[Sequence], running: Collection[Sequence]) -> None:
        """Note who has had a step, and forget who does not run any more."""
        if not computed or len({sequence.lora for sequence in running}) < 2:
            return
        new = self._newcomer
        self._owners = {s.owner: self._owners.get(s.owner, new) for s in running}
        self._sets = {s.lora: self._sets.get(s.lora, new) for s in running}
        self._num_steps += 1
        self._owners |= {s.owner: 2 * self._num_steps for s in computed}
        self._sets |= {s.lora: 2 * self._num_steps for s in computed}

    @property
    def _newcomer(self) -> int:
        """The number of who has had no step: just below that of the last one."""
        return 2 * self._num_steps - 1
