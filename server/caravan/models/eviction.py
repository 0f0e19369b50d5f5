"""Which models are unloaded for another, and how often each key may have that done to models that others use.

Without that limit, a key that asks for one model after the other would keep everybody from theirs; so would
several keys that take turns, so that each model has a limit of its own, too.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from caravan.sizing.sizes import Need

Clock = Callable[[], float]

# How long a model stays for those who have used it, in seconds, unless the operator says otherwise.
STAY_SECONDS = 60.0
# Within that time, so many models that others use may be unloaded for one key, and one model so often.
_MAX_BY_KEY = 2
_MAX_OF_MODEL = 3


class NoRoomError(Exception):
    """Pinned models leave too little memory for another."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How many models may be loaded, and the bytes that they may need in all and on GPUs. 0: no limit.

    `gpu_budget` is soft: a model that finds the GPUs full is loaded beside them, and is slow.
    """

    max_loaded: int = 0
    memory_budget: int = 0
    gpu_budget: int = 0

    def allow(self, needs: Sequence[Need]) -> bool:
        """Whether models of these needs may be loaded at once. One alone always may: needs are estimates."""
        if len(needs) <= 1:
            return True
        return (not self.max_loaded or len(needs) <= self.max_loaded) and (
            not self.memory_budget or sum(need.total for need in needs) <= self.memory_budget
        )

    def suit(self, needs: Sequence[Need]) -> bool:
        """Whether they are allowed, and GPUs hold what each of them would have there."""
        on_gpus = sum(need.on_gpus for need in needs)
        return self.allow(needs) and (len(needs) <= 1 or not self.gpu_budget or on_gpus <= self.gpu_budget)


@dataclass(frozen=True, kw_only=True)
class LoadedEntry:
    """A model in memory. `last_used` only orders: the larger, the later. `has_others` says whether it is
    anybody's but a key's.
    """

    id: str
    need: Need
    is_pinned: bool
    is_busy: bool
    last_used: int
    has_others: Callable[[str], bool] = lambda _: False


def victims(loaded: Iterable[LoadedEntry], need: Need, limits: Limits) -> list[str] | None:
    """The models that must be unloaded so that one of this `need` fits; None where pinned ones leave no room.

    Idle models go before those with running requests, and of each the least recently used first. No model
    goes that could stay. GPUs are kept within their budget unless pinned models make that impossible.
    """
    present = list(loaded)
    leaving = _leaving(present, need, limits.suit)
    return _leaving(present, need, limits.allow) if leaving is None else leaving


def _leaving(
    present: list[LoadedEntry], need: Need, fit: Callable[[Sequence[Need]], bool]
) -> list[str] | None:
    def fits(staying: Iterable[LoadedEntry]) -> bool:
        return fit([*(entry.need for entry in staying), need])

    staying = {entry.id: entry for entry in present}
    order = sorted(
        (entry for entry in staying.values() if not entry.is_pinned),
        key=lambda entry: (entry.is_busy, entry.last_used),
    )
    leaving: list[LoadedEntry] = []
    while not fits(staying.values()):
        if not order:
            return None
        leaving.append(staying.pop(order.pop(0).id))
    for entry in reversed(leaving[:-1]):
        if fits([*staying.values(), entry]):
            staying[entry.id] = entry
            leaving.remove(entry)
    return [entry.id for entry in leaving]


def check_together(limits: Limits, needs: Sequence[Need]) -> None:
    """Raise NoRoomError where models that are to be loaded at the start may not be, all at once."""
    if not limits.allow(needs):
        raise NoRoomError(
            f"the models to be loaded at the start are more than --max-loaded or --memory-budget allow: "
            f"{len(needs)}, which need about {sum(need.total for need in needs) >> 20} MiB"
        )


class Evictions:
    """Chooses what is unloaded, and for whom. Belongs to one event loop."""

    def __init__(
        self, limits: Limits, *, stay_seconds: float = STAY_SECONDS, clock: Clock = time.monotonic
    ) -> None:
        self._limits = limits
        self._by_key = _Recent(stay_seconds, clock)
        self._of_model = _Recent(stay_seconds, clock)

    def choose(self, loaded: Iterable[LoadedEntry], need: Need, keys: Sequence[str]) -> list[str] | None:
        """The models to unload for one that these keys have asked for; None where all keys have to wait.

        It counts against the first key that may have them unloaded. Without keys, the operator wants it.
        Raises NoRoomError where waiting does not help.
        """
        present = {entry.id: entry for entry in loaded}
        leaving = self._victims(present.values(), need)
        if leaving is None:
            raise NoRoomError("pinned models leave too little memory for it")
        for key in keys:
            of_others = [name for name in leaving if present[name].has_others(key)]
            if not of_others:
                return leaving
            if self._by_key.count(key) < _MAX_BY_KEY and all(
                self._of_model.count(name) < _MAX_OF_MODEL for name in of_others
            ):
                self._by_key.add(key)
                for name in of_others:
                    self._of_model.add(name)
                return leaving
        if not keys:
            return leaving
        # What is nobody's but this key's may go at any time.
        kept = [
            replace(entry, is_pinned=entry.is_pinned or entry.has_others(keys[0]))
            for entry in present.values()
        ]
        return self._victims(kept, need)

    def _victims(self, loaded: Iterable[LoadedEntry], need: Need) -> list[str] | None:
        return victims(loaded, need, self._limits)


class _Recent:
    """How often something was noted by name within the last `seconds`."""

    def __init__(self, seconds: float, clock: Clock) -> None:
        self._seconds = seconds
        self._clock = clock
        self._times: dict[str, list[float]] = {}

    def add(self, name: str) -> None:
        self._times.setdefault(name, []).append(self._clock())

    def count(self, name: str) -> int:
        earliest = self._clock() - self._seconds
        lately = {known: [at for at in times if at > earliest] for known, times in self._times.items()}
        self._times = {known: times for known, times in lately.items() if times}
        return len(self._times.get(name, ()))
