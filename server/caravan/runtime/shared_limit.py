"""A limit that several owners share: whoever is alone may use all of it, and gives way when another comes."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(eq=False)
class Place:
    """What one request has of a limit. `settle` when it can give way no more; `leave` must follow."""

    owner: str
    amount: int
    _limit: "SharedLimit"
    _give_way: Callable[[], object]

    def settle(self) -> None:
        """Keep the place from now on, whoever comes."""
        self._limit._owners[self.owner].yielding.pop(self, None)

    def leave(self) -> None:
        """Give the place up, if that is not done."""
        self._limit._remove(self)


@dataclass
class _Owner:
    weight: float
    held: int = 0
    places: set[Place] = field(default_factory=set)
    # In the order of arrival.
    yielding: dict[Place, None] = field(default_factory=dict)


class SharedLimit:
    """Places for `capacity` in all; of those owners who are there, each has a share by its weight.

    When it is full, a newcomer that stays within its share gets the place of the newest request of who is the
    furthest over theirs; any other is turned away.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._total = 0
        self._owners: dict[str, _Owner] = {}

    def enter(
        self, owner: str, give_way: Callable[[], object], *, amount: int = 1, weight: float = 1.0
    ) -> Place | None:
        """Take a place, or None. `give_way` is called when another has got it."""
        excess = self._total + amount - self.capacity
        if excess > 0:
            victims = self._victims(owner, amount, weight, excess)
            if victims is None:
                return None
            for place in victims:
                self._remove(place)
                place._give_way()
        place = Place(owner, amount, self, give_way)
        entry = self._owners.setdefault(owner, _Owner(weight))
        entry.weight = weight
        entry.held += amount
        entry.places.add(place)
        entry.yielding[place] = None
        self._total += amount
        return place

    def has_room(self, owner: str, *, amount: int = 1, weight: float = 1.0) -> bool:
        """Say whether so much would be given a place now."""
        excess = self._total + amount - self.capacity
        return excess <= 0 or self._victims(owner, amount, weight, excess) is not None

    def _victims(self, owner: str, amount: int, weight: float, excess: int) -> list[Place] | None:
        """The places that have to go for a newcomer; None if it has no right to them."""
        total_weight = weight + sum(o.weight for name, o in self._owners.items() if name != owner)
        entry = self._owners.get(owner)
        if (entry.held if entry else 0) + amount > self.capacity * weight / total_weight:
            return None
        over = {
            name: other.held - self.capacity * other.weight / total_weight
            for name, other in self._owners.items()
            if name != owner and other.yielding
        }
        newest = {name: reversed(self._owners[name].yielding) for name in over}
        victims: list[Place] = []
        while excess > 0:
            name = max(over, key=over.__getitem__, default=None)
            if name is None or over[name] <= 0:
                return None
            place = next(newest[name], None)
            if place is None:
                del over[name]
                continue
            victims.append(place)
            over[name] -= place.amount
            excess -= place.amount
        return victims

    def _remove(self, place: Place) -> None:
        entry = self._owners.get(place.owner)
        if entry is None or place not in entry.places:
            return
        entry.places.remove(place)
        entry.yielding.pop(place, None)
        entry.held -= place.amount
        self._total -= place.amount
        if not entry.places:
            del self._owners[place.owner]
