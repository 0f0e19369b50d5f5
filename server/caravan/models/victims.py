"""Who has to go when a model wants to be loaded: arithmetic only."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from caravan.sizing.sizes import Need


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How many models may be loaded, and how many bytes they may need together, everywhere and on GPUs; 0 is
    no limit.

    The last is a wish: a model that finds GPUs full is loaded beside them, and is slow.
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
    """A model in memory. `last_used` only orders: the larger, the later."""

    id: str
    need: Need
    is_pinned: bool
    is_busy: bool
    last_used: int


def victims(occupants: Iterable[LoadedEntry], need: Need, limits: Limits) -> list[str] | None:
    """Who must be unloaded so that `need` more suits, or is at least allowed where pinned models leave too
    little of the GPUs; None where they leave no room at all.

    Those that nobody uses go before those whose requests must be waited for, and among either the least
    recently used first. Nobody goes in vain.
    """
    present = list(occupants)
    leaving = _leaving(present, need, limits.suit)
    return _leaving(present, need, limits.allow) if leaving is None else leaving


def _leaving(
    present: list[LoadedEntry], need: Need, fit: Callable[[Sequence[Need]], bool]
) -> list[str] | None:
    def fits(staying: Iterable[LoadedEntry]) -> bool:
        return fit([*(occupant.need for occupant in staying), need])

    staying = {occupant.id: occupant for occupant in present}
    order = sorted(
        (occupant for occupant in staying.values() if not occupant.is_pinned),
        key=lambda occupant: (occupant.is_busy, occupant.last_used),
    )
    leaving: list[LoadedEntry] = []
    while not fits(staying.values()):
        if not order:
            return None
        leaving.append(staying.pop(order.pop(0).id))
    for occupant in reversed(leaving[:-1]):
        if fits([*staying.values(), occupant]):
            staying[occupant.id] = occupant
            leaving.remove(occupant)
    return [occupant.id for occupant in leaving]
