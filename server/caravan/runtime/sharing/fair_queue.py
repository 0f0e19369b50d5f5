"""Things to be done for several owners, in turns; the next one is of who has had the least so far."""

from collections import deque
from typing import Generic, TypeVar

from caravan.runtime.sharing.fair_order import FairOrder

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Each owner's things come in the order of their arrival. Not for several threads at once.

    `charge` says afterwards what a thing has cost, in seconds say.
    """

    def __init__(self) -> None:
        self._order = FairOrder()
        self._waiting: dict[str, deque[T]] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def push(self, owner: str, item: T) -> None:
        """Add a thing."""
        self._waiting.setdefault(owner, deque()).append(item)

    def pop(self) -> T:
        """The next thing, which goes. Of owners that have had as much, each has its turn."""
        owner = min(self._waiting, key=self._order.start)
        self._order.begin(self._order.start(owner))
        items = self._waiting.pop(owner)
        item = items.popleft()
        if items:
            self._waiting[owner] = items
        return item

    def remove(self, owner: str, item: T) -> bool:
        """Take a thing out; whether it was still there."""
        items = self._waiting.get(owner)
        if items is None or item not in items:
            return False
        items.remove(item)
        if not items:
            del self._waiting[owner]
        return True

    def charge(self, owner: str, cost: float, weight: float = 1.0) -> None:
        """Note what a thing of an owner has cost."""
        self._order.place(owner, weight, cost)
