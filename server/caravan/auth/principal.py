"""Who asks: what a key says about its holder, for all who decide by it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from caravan.auth.rate_limit import Admission


@dataclass(frozen=True, kw_only=True)
class Principal:
    """`id` and `name` are the key's, empty without keys: what a caller owns is found by the id, a name may be
    another's later; people are told the name. `models` None means all. `cache_group` names those who may
    share prefixes in memory. Of two callers in a queue the one with the higher `priority` comes first; among
    equals each gets a share in proportion to its `weight`. `allowance` is the present request's, where
    tokens are counted.
    """

    id: str = ""
    name: str = ""
    is_admin: bool = False
    models: frozenset[str] | None = None
    cache_group: str = ""
    priority: int = 0
    weight: float = 1.0
    allowance: "Admission | None" = None

    def may_use(self, *names: str) -> bool:
        """Say whether a model that has any of these names may be used."""
        return self.models is None or not self.models.isdisjoint(names)


ANONYMOUS = Principal()
