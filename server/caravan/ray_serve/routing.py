"""Which replica computes a request for the least, in tokens: by what each has in memory, and has to do."""

import math
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from caravan.engine.block_events import BLOCK_SIZE, AllBlocksCleared, BlockEvent, BlocksStored
from caravan.ray_serve.wire import Load, Route

# How long a request may be on its way to a replica.
_UNDER_WAY_SECONDS = 5.0
# Requests whose places are known.
_MOST_PLACES = 10_000


@dataclass
class _Routed:
    """A request that goes to a replica and has not ended, and whether the replica has told of it.

    One that no replica has taken yet, and nobody may want any more, counts for a while.
    """

    route: Route
    replica_id: str
    num_uncached: int
    until: float
    is_taken: bool = False


@dataclass
class _Replica:
    """What is known of one replica, by its own word: the blocks that it has, and what it has to do."""

    blocks: set[int] = field(default_factory=set)
    load: Load = field(default_factory=Load)


class PrefixIndex:
    """What replicas have in memory, and what it costs each to answer a request. Belongs to one thread.

    A replica tells of what it has a moment after it has it. Until then, and as long as they run, requests
    that were sent from here count as if their prompts were there, so that two of one conversation do not
    part. `decode_weight` is how many tokens of prompts a running choice is worth: each costs its neighbours a
    row of every step.
    """

    def __init__(self, decode_weight: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._decode_weight = decode_weight
        self._clock = clock
        self._replicas: dict[str, _Replica] = {}
        self._routed: dict[str, _Routed] = {}
        self._num_sent: dict[str, int] = {}
        # Of requests that have ended, too: one that comes again was lost there.
        self._last_places: dict[str, str] = {}

    def note(self, replica_id: str, events: Iterable[BlockEvent], load: Load | None) -> None:
        """Take in what a replica tells."""
        replica = self._replicas.setdefault(replica_id, _Replica())
        for event in events:
            if isinstance(event, BlocksStored):
                replica.blocks.update(event.block_hashes)
            elif isinstance(event, AllBlocksCleared):
                replica.blocks.clear()
            else:
                replica.blocks.difference_update(event.block_hashes)
        if load is None:
            return
        replica.load = load
        for request_id in load.taken:
            if (known := self._routed.get(request_id)) is not None:
                known.is_taken = True

    def forget(self, replica_id: str) -> None:
        """Drop a replica that is gone. Who is where, is kept: those have to go elsewhere."""
        self._replicas.pop(replica_id, None)
        self._num_sent.pop(replica_id, None)

    def ranked(self, route: Route, replica_ids: Collection[str]) -> list[str]:
        """Order replicas by what the request costs there, the cheapest first; equals by how little was sent.

        One that had the request and has lost it comes last.
        """
        last = self._last_places.get(route.request_id)
        if last is not None and last in replica_ids and not route.num_tokens:
            return [last]

        def order(replica_id: str) -> tuple[bool, float, int]:
            return replica_id == last, self.cost(route, replica_id), self._num_sent.get(replica_id, 0)

        return sorted(replica_ids, key=order)

    def cost(self, route: Route, replica_id: str) -> float:
        """Tokens that are computed before the request's first one, and what its neighbours cost it."""
        load = self._replicas.get(replica_id, _Replica()).load
        under_way = [one for one in self._going_to(replica_id, route) if not one.is_taken]
        waiting = load.waiting_tokens + sum(one.num_uncached for one in under_way)
        running = load.num_running + len(under_way)
        cost = self.num_uncached(route, replica_id) + waiting + self._decode_weight * running
        return cost if load.is_ready else float("inf")

    def num_uncached(self, route: Route, replica_id: str) -> int:
        """Tokens of a prompt that a replica has to compute; the last one in any case."""
        known = self._replicas.get(replica_id, _Replica()).blocks
        expected = (one.route.block_hashes for one in self._going_to(replica_id, route))
        length = max(
            [num_leading(route.block_hashes, known), *(_shared(route.block_hashes, e) for e in expected)]
        )
        return max(route.num_tokens - length * BLOCK_SIZE, min(1, route.num_tokens))

    def expect(self, route: Route, replica_id: str) -> None:
        """Note that a request is about to go to a replica, so that those that come now know it."""
        if not route.num_tokens:
            return
        uncached = self.num_uncached(route, replica_id)
        until = self._clock() + _UNDER_WAY_SECONDS
        self._routed[route.request_id] = _Routed(route, replica_id, uncached, until)
        self._num_sent[replica_id] = self._num_sent.get(replica_id, 0) + 1

    def sent(self, route: Route, replica_id: str) -> None:
        """Note that a replica has taken a request."""
        if not route.num_tokens:
            return
        known = self._routed.get(route.request_id)
        if known is None or known.replica_id != replica_id:
            self.expect(route, replica_id)
        self._routed[route.request_id].until = math.inf
        self._last_places[route.request_id] = replica_id
        if len(self._last_places) > _MOST_PLACES:
            del self._last_places[next(iter(self._last_places))]

    def ended(self, request_id: str, replica_id: str) -> None:
        """Note that a request has ended there; one that has gone elsewhere meanwhile goes on."""
        known = self._routed.get(request_id)
        if known is not None and known.replica_id == replica_id:
            del self._routed[request_id]

    def _going_to(self, replica_id: str, route: Route) -> list[_Routed]:
        """The other requests that go to a replica."""
        now = self._clock()
        others = (one for name, one in self._routed.items() if name != route.request_id)
        return [one for one in others if one.replica_id == replica_id and now < one.until]


def num_leading(hashes: Sequence[int], known: Collection[int]) -> int:
    """Count how many of the first ones are known."""
    return next((count for count, one in enumerate(hashes) if one not in known), len(hashes))


def _shared(hashes: Sequence[int], others: Sequence[int]) -> int:
    """How many blocks two prompts have in common: where one hash agrees, so do all before it."""
    return next((n for n in range(min(len(hashes), len(others)), 0, -1) if hashes[n - 1] == others[n - 1]), 0)
