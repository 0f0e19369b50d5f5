"""Who has to go when a model wants to be loaded: arithmetic only."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from server.engine.sizing import Need


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How many models may be loaded, and how many bytes they may need together, everywhere and on GPUs; 0 is
    no limit.

    What GPUs hold has one of its own: a model that finds them full would be loaded beside them, and be slow.
    """

    max_loaded: int = 0
    memory_budget: int = 0
    gpu_budget: int = 0

    def allow(self, needs: Sequence[Need]) -> bool:
        """Whether models of these needs may be loaded at once. One alone always may: needs are estimates."""
        amounts = (
            (len(needs), self.max_loaded),
            (sum(need.total for need in needs), self.memory_budget),
            (sum(need.on_gpus for need in needs), self.gpu_budget),
        )
        return len(needs) <= 1 or all(amount <= most for amount, most in amounts if most)


@dataclass(frozen=True, kw_only=True)
class Occupant:
    """A model in memory. `last_used` only orders: the larger, the later."""

    id: str
    need: Need
    is_pinned: bool
    is_busy: bool
    last_used: int


def victims(occupants: Iterable[Occupant], need: Need, limits: Limits) -> list[str] | None:
    """Who must be unloaded so that `need` more is allowed; None where pinned models leave no room.

    Those that nobody uses go before those whose requests must be waited for, and among either the least
    recently used first. Nobody goes in vain.
    """
    staying = {occupant.id: occupant for occupant in occupants}
    order = sorted(
        (occupant for occupant in staying.values() if not occupant.is_pinned),
        key=lambda occupant: (occupant.is_busy, occupant.last_used),
    )
    leaving: list[Occupant] = []
    while not _fits(staying.values(), need, limits):
        if not order:
            return None
        leaving.append(staying.pop(order.pop(0).id))
    for occupant in reversed(leaving[:-1]):
        if _fits([*staying.values(), occupant], need, limits):
            staying[occupant.id] = occupant
            leaving.remove(occupant)
    return [occupant.id for occupant in leaving]


def _fits(staying: Iterable[Occupant], need: Need, limits: Limits) -> bool:
    return limits.allow([*(occupant.need for occupant in staying), need])
