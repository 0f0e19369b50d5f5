"""How many connections there are, and which one goes when there are too many."""

from typing import Protocol


class Member(Protocol):
    """A connection, as far as others are concerned."""

    def give_way(self) -> None:
        """Close at once."""


class Crowd:
    """All connections of a server, at most `limit`.

    Where a newcomer is one too many, the connection that has been without a request for the longest goes; so
    whoever opens many and sends nothing is in nobody's way.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._resting: dict[Member, None] = {}
        self._working: set[Member] = set()

    def admit(self, newcomer: Member) -> bool:
        """Take a connection in, at the cost of another if need be; False if all others have requests."""
        if len(self._resting) + len(self._working) >= self._limit:
            oldest = next(iter(self._resting), None)
            if oldest is None:
                return False
            self.forget(oldest)
            oldest.give_way()
        self._resting[newcomer] = None
        return True

    def work(self, member: Member) -> None:
        """Note that a connection has a request."""
        if member in self._resting:
            del self._resting[member]
            self._working.add(member)

    def rest(self, member: Member) -> None:
        """Note that a connection has no request any more."""
        if member in self._working:
            self._working.remove(member)
            self._resting[member] = None

    def forget(self, member: Member) -> None:
        """Note that a connection is gone."""
        self._resting.pop(member, None)
        self._working.discard(member)
