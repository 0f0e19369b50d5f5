"""Who asks: what a key says about its holder, for all who decide by it."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from caravan.errors import InvalidValueError

if TYPE_CHECKING:
    from caravan.auth.ledger import Allowance


@dataclass(frozen=True, kw_only=True)
class Principal:
    """`id` and `name` are the key's, empty without keys: what a caller owns is found by the id, a name may be
    another's later; people are told the name. `models` None means all. `cache_group` names those who may
    share prefixes in memory. Of two callers in a queue the one with the higher `priority` comes first; among
    equals each gets a share in proportion to its `weight`. A request may ask for a priority up to
    `max_priority`. `allowance` is the present request's, where tokens are counted.
    """

    id: str = ""
    name: str = ""
    is_admin: bool = False
    models: frozenset[str] | None = None
    cache_group: str = ""
    priority: int = 0
    max_priority: int = 0
    weight: float = 1.0
    allowance: "Allowance | None" = None

    def may_use(self, *names: str) -> bool:
        """Say whether a model that has any of these names may be used."""
        return self.models is None or not self.models.isdisjoint(names)

    def asking(self, priority: int | None) -> Self:
        """Return the caller of a request that asks for a priority: counted from the caller's own, and lower
        comes first. Raises InvalidValueError over one that the caller may not have.
        """
        if not priority:
            return self
        if self.priority - priority > self.max_priority:
            whose = f"the key '{self.name}'" if self.id else "requests without a key"
            least = self.priority - self.max_priority
            raise InvalidValueError("priority", f"must be at least {least} for {whose}")
        return replace(self, priority=self.priority - priority)


ANONYMOUS = Principal()
