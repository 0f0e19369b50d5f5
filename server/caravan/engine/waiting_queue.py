"""Sequences that have no memory yet, in the order in which they get some."""

import itertools
from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from caravan.engine.sequence import Sequence, Turn
from caravan.engine.sequence_status import SequenceStatus
from caravan.runtime.fair_queue import FairOrder

# So many turns of a higher priority pass by those of lower ones before one of these has its turn, so that
# nobody waits for ever.
MAX_PASSED = 8

# An owner, and whether it is their background work.
_Lane = tuple[str, bool]


@dataclass
class _Owner:
    """The order of an owner's requests, and the rank of the last that came in that order."""

    requests: FairOrder = field(default_factory=FairOrder)
    last_rank: float = 0.0


class WaitingQueue:
    """Higher priorities come first, and among equals each owner has a share of the turns by its weight. An
    owner's requests take turns among themselves, so that one of many prompts does not hold up the others.

    One of nine turns goes to a lower priority if any waits: to the one that would be next if all were equal.
    What waits for its grammar has its turn from its arrival, and takes it when that is there. Background work
    comes after all others, has none of their turns, and costs its owner none.
    """

    def __init__(self) -> None:
        self._live_order, self._background_order = FairOrder(), FairOrder()
        self._sequences: list[Sequence] = []
        self._for_grammar: list[Sequence] = []
        self._num_background = 0
        self._num_passed = 0
        self._withdrawn: list[Sequence] = []
        self._num_owned: Counter[str] = Counter()
        self._owners: dict[str, _Owner] = {}
        self._unsorted: set[str] = set()

    def __iter__(self) -> Iterator[Sequence]:
        return itertools.chain(self._sequences, self._for_grammar)

    def __len__(self) -> int:
        return len(self._sequences) + len(self._for_grammar)

    @property
    def has_ready(self) -> bool:
        """Whether any of them could have its turn."""
        return bool(self._sequences)

    @property
    def has_live(self) -> bool:
        """Whether any of these is no background work."""
        return self._num_background < len(self._sequences)

    @property
    def num_background(self) -> int:
        """How many of these are background work."""
        return self._num_background

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence by its turn; one that was preempted thereby comes before later ones."""
        self._settle()
        if sequence.turn is None:
            order = self._order_of(sequence)
            sequence.virtual_arrival = order.virtual_time
            place = order.place(sequence.owner, sequence.weight, sequence.cost)
            sequence.turn = (-sequence.priority, place, sequence.arrival)
            self._rank(sequence)
        if sequence.status is SequenceStatus.WAITING_FOR_GRAMMAR:
            self._for_grammar.append(sequence)
        else:
            self._insert(sequence)

    def _rank(self, sequence: Sequence) -> None:
        owner = self._owners.setdefault(sequence.owner, _Owner())
        sequence.rank = owner.requests.place(sequence.group, 1.0, sequence.cost)
        if sequence.rank < owner.last_rank:
            self._unsorted.add(sequence.owner)
        else:
            owner.last_rank = sequence.rank

    def make_ready(self, sequence: Sequence) -> None:
        """Let a sequence whose grammar is there have its turn."""
        self._for_grammar.remove(sequence)
        self._insert(sequence)

    def _insert(self, sequence: Sequence) -> None:
        sequence.status = SequenceStatus.WAITING
        insort(self._sequences, sequence, key=turn_of)
        self._num_background += sequence.is_background
        self._num_owned[sequence.owner] += 1

    def remove(self, sequence: Sequence) -> None:
        """Take out a sequence that has ended. Its owner does not pay for a turn that it never had."""
        self._take_out(sequence)
        if not sequence.has_begun:
            self._withdrawn.append(sequence)

    def begin(self, sequence: Sequence) -> None:
        """Take out a sequence that has its turn."""
        first = turn_of(self._sequences[0])
        if (owner := self._owners.get(sequence.owner)) is not None:
            owner.requests.begin(sequence.rank)
        self._take_out(sequence)
        priority, place, arrival = turn_of(sequence)
        if priority > first[0] and not sequence.is_background:
            # It is worth as much as those it came before now, or it would be the first to be preempted.
            sequence.turn = (first[0], place, arrival)
            self._num_passed = 0
        elif self._has_lower(priority):
            self._num_passed += 1
        self._order_of(sequence).begin(place)

    def in_turn(self) -> list[Sequence]:
        """List all of them, the next one first."""
        self._settle()
        self._let_requests_take_turns()
        waiting = list(self._sequences)
        if self._num_passed < MAX_PASSED or not waiting:
            return waiting
        first = turn_of(waiting[0])[0]
        lower = [s for s in waiting if turn_of(s)[0] > first and not s.is_background]
        if not lower:
            return waiting
        favoured = min(lower, key=lambda sequence: turn_of(sequence)[1:])
        waiting.remove(favoured)
        return [favoured, *waiting]

    def _has_lower(self, priority: int) -> bool:
        """Whether any waits that is of a lower priority, and no background work, which comes last."""
        num_live = len(self._sequences) - self._num_background
        return num_live > 0 and turn_of(self._sequences[num_live - 1])[0] > priority

    def _order_of(self, sequence: Sequence) -> FairOrder:
        return self._background_order if sequence.is_background else self._live_order

    def first_of_others(self, sequence: Sequence) -> list[Sequence]:
        """List the next sequence of each other owner, of no lower priority."""
        if len(self._num_owned) < 2:
            return []
        firsts: dict[str, Sequence] = {}
        for other in self._sequences:
            if turn_of(other)[0] > turn_of(sequence)[0]:
                break
            firsts.setdefault(other.owner, other)
        firsts.pop(sequence.owner, None)
        return list(firsts.values())

    def _take_out(self, sequence: Sequence) -> None:
        owner = sequence.owner
        if sequence.status is SequenceStatus.WAITING_FOR_GRAMMAR:
            self._for_grammar.remove(sequence)
        else:
            self._sequences.remove(sequence)
            self._num_background -= sequence.is_background
            self._num_owned[owner] -= 1
        if not self._num_owned[owner]:
            del self._num_owned[owner]
        if owner not in self._num_owned and all(other.owner != owner for other in self._for_grammar):
            self._owners.pop(owner, None)

    def _let_requests_take_turns(self) -> None:
        """Hand out the places of each owner's sequences anew, those of a priority among themselves."""
        if not self._unsorted:
            return
        classes: dict[tuple[str, int], list[Sequence]] = defaultdict(list)
        for sequence in self:
            if sequence.owner in self._unsorted and not sequence.has_begun:
                classes[sequence.owner, turn_of(sequence)[0]].append(sequence)
        for (_, priority), sequences in classes.items():
            places = sorted(turn_of(sequence)[1] for sequence in sequences)
            sequences.sort(key=lambda sequence: (sequence.rank, sequence.arrival))
            for place, sequence in zip(places, sequences, strict=True):
                sequence.turn = (priority, place, sequence.arrival)
        self._unsorted.clear()
        self._sequences.sort(key=turn_of)

    def _settle(self) -> None:
        """Move up what came after sequences of its owner that will never have their turn."""
        if not self._withdrawn:
            return
        places: dict[_Lane, list[float]] = defaultdict(list)
        costs: dict[_Lane, list[float]] = defaultdict(list)
        for gone in sorted(self._withdrawn, key=lambda sequence: turn_of(sequence)[1]):
            places[_lane(gone)].append(turn_of(gone)[1])
            costs[_lane(gone)].append(gone.cost / gone.weight)
            self._order_of(gone).give_back(gone.owner, gone.weight, gone.cost)
        self._withdrawn.clear()
        sums = {lane: [0.0, *itertools.accumulate(given)] for lane, given in costs.items()}
        for sequence in self:
            lane = _lane(sequence)
            if lane in sums and not sequence.has_begun:
                shift = sums[lane][bisect_left(places[lane], turn_of(sequence)[1])]
                sequence.turn = _moved_up(sequence, shift)
        self._sequences.sort(key=turn_of)


def turn_of(sequence: Sequence) -> Turn:
    """Return the turn of a sequence that has waited."""
    assert sequence.turn is not None
    return sequence.turn


def _lane(sequence: Sequence) -> _Lane:
    return sequence.owner, sequence.is_background


def _moved_up(sequence: Sequence, shift: float) -> Turn:
    priority, place, arrival = turn_of(sequence)
    # One that has the place of an earlier request of its owner keeps it.
    return priority, max(min(sequence.virtual_arrival, place), place - shift), arrival
