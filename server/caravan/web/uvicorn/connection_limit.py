"""How many connections there are, and which one goes when there are too many."""

import time
from collections.abc import Callable
from enum import Enum
from typing import Protocol

# A client whose turn it has been for no longer than this has not been slow.
_GRACE_SECONDS = 1.0
# Connections that have been answered for good, and whose clients are only to read that.
_MAX_LEAVING = 64


class State(Enum):
    """Whose turn it is on a connection. LEAVING ones have been answered for good."""

    RESTING = "without a request"
    CLIENT = "the client has to send or to read"
    SERVER = "the server has to answer"
    LEAVING = "to be closed in a moment"


class OpenConnection(Protocol):
    """A connection, as far as others are concerned."""

    def give_way(self) -> None:
        """Close at once."""


class ConnectionLimiter:
    """All connections of a server, at most `limit`, and few more that are leaving.

    Where a newcomer is one too many, the connection that has been without a request for the longest goes, or
    else the one whose client has taken the longest to send its request or to read its answer; those that have
    just come go last. So whoever opens many and sends or reads next to nothing is in nobody's way.
    """

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        # In each group the members in the order in which they came to it, with the time.
        self._groups: dict[State, dict[OpenConnection, float]] = {state: {} for state in State}
        self._states: dict[OpenConnection, State] = {}

    def admit(self, newcomer: OpenConnection) -> bool:
        """Take a connection in, at the cost of another if need be; False if no other can be blamed."""
        num_staying = len(self._states) - len(self._groups[State.LEAVING])
        if num_staying >= self._limit and not self._make_room():
            return False
        self.note(newcomer, State.RESTING)
        return True

    def note(self, member: OpenConnection, state: State) -> None:
        """Say whose turn it is on a connection from now on, unless it has been so all along."""
        if self._states.get(member) is state:
            return
        self.forget(member)
        self._states[member] = state
        self._groups[state][member] = self._clock()
        if state is State.LEAVING and len(self._groups[state]) > _MAX_LEAVING:
            self._dismiss(state)

    def forget(self, member: OpenConnection) -> None:
        """Note that a connection is gone."""
        state = self._states.pop(member, None)
        if state is not None:
            del self._groups[state][member]

    def shed(self) -> bool:
        """Close a connection that nobody misses, because files are short; False if there is none."""
        if self._groups[State.LEAVING]:
            self._dismiss(State.LEAVING)
            return True
        return self._make_room()

    def _make_room(self) -> bool:
        latest = self._clock() - _GRACE_SECONDS
        for state in (State.RESTING, State.CLIENT):
            since = next(iter(self._groups[state].values()), None)
            if since is not None and since <= latest:
                self._dismiss(state)
                return True
        if self._groups[State.RESTING]:
            self._dismiss(State.RESTING)
            return True
        return False

    def _dismiss(self, state: State) -> None:
        oldest = next(iter(self._groups[state]))
        self.forget(oldest)
        oldest.give_way()
