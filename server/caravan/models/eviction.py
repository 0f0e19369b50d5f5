"""Who has used a model lately, and how often each key has had one unloaded that others use: a few times in a
while, or a key that asks for one model after the other would keep everybody from theirs.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from caravan.models.victims import Limits, LoadedEntry, victims
from caravan.sizing.sizes import Need

Clock = Callable[[], float]

# How long a model stays for those who have used it, in seconds, unless the operator says otherwise.
STAY_SECONDS = 60.0
# Of models that others are using, a key may have so many unloaded in that time.
_MAX_TAKEN = 2


class NoRoomError(Exception):
    """Pinned models leave too little memory for another."""


def check_together(limits: Limits, needs: Sequence[Need]) -> None:
    """Raise NoRoomError where models that are to be loaded at the start may not be, all at once."""
    if not limits.allow(needs):
        raise NoRoomError(
            f"the models to be loaded at the start are more than --max-loaded or --memory-budget allow: "
            f"{len(needs)}, which need about {sum(need.total for need in needs) >> 20} MiB"
        )


class Users:
    """The keys that use one model or wait for it, or have done so within the last `seconds`; of 0 seconds,
    none.
    """

    def __init__(self, seconds: float = STAY_SECONDS, clock: Clock = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._present: Counter[str] = Counter()
        self._left_at: dict[str, float] = {}

    def begin(self, key: str) -> None:
        """A request of `key` has the model, or waits for it."""
        self._present[key] += 1

    def end(self, key: str) -> None:
        """It has let it go, or given up."""
        self._present[key] -= 1
        if not self._present[key]:
            del self._present[key]
        self._forget()
        self._left_at[key] = self._clock()

    def has_others(self, key: str) -> bool:
        """Whether the model is anybody's but this key's."""
        self._forget()
        return self._seconds > 0 and any(other != key for other in (*self._present, *self._left_at))

    def _forget(self) -> None:
        earliest = self._clock() - self._seconds
        self._left_at = {key: left_at for key, left_at in self._left_at.items() if left_at > earliest}


class Evictions:
    """Chooses what is unloaded, and for whom. Belongs to one event loop."""

    def __init__(
        self, limits: Limits, *, stay_seconds: float = STAY_SECONDS, clock: Clock = time.monotonic
    ) -> None:
        self._limits = limits
        self._seconds = stay_seconds
        self._clock = clock
        self._taken_at: dict[str, list[float]] = {}

    def choose(
        self, occupants: Iterable[LoadedEntry], need: Need, users: Mapping[str, Users], keys: Sequence[str]
    ) -> list[str] | None:
        """Who must be unloaded for a model that these keys have asked for, at the cost of the first of them
        that may; one that nobody has asked for is the operator's wish. None where all of them have to wait.

        `users` are those of each occupant. Raises NoRoomError where waiting does not help.
        """
        present = list(occupants)
        leaving = self._victims(present, need)
        if leaving is None:
            raise NoRoomError("pinned models leave too little memory for it")
        for key in keys:
            if not any(users[name].has_others(key) for name in leaving):
                return leaving
            if self._may_take(key):
                self._taken_at.setdefault(key, []).append(self._clock())
                return leaving
        if not keys:
            return leaving
        # What is nobody's but this key's may go at any time.
        kept = [
            replace(occupant, is_pinned=occupant.is_pinned or users[occupant.id].has_others(keys[0]))
            for occupant in present
        ]
        return self._victims(kept, need)

    def _victims(self, occupants: list[LoadedEntry], need: Need) -> list[str] | None:
        return victims(occupants, need, self._limits)

    def _may_take(self, key: str) -> bool:
        earliest = self._clock() - self._seconds
        lately = {
            known: [taken_at for taken_at in times if taken_at > earliest]
            for known, times in self._taken_at.items()
        }
        self._taken_at = {known: times for known, times in lately.items() if times}
        return len(self._taken_at.get(key, ())) < _MAX_TAKEN
