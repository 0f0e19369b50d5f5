"""Ray's router of a model's requests: each goes where it costs the least, by what replicas have told."""

import asyncio
import logging
from typing import Any

from ray.serve.request_router import PendingRequest, ReplicaID, RequestRouter, RunningReplica

from caravan.ray_serve import wire
from caravan.ray_serve.actors import board_of
from caravan.ray_serve.board import Cursor
from caravan.ray_serve.routing import PrefixIndex
from caravan.ray_serve.wire import Route

log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0


class PrefixRouter(RequestRouter):
    """Lives in the process of each ingress, on the router's own loop, and asks nobody when it chooses."""

    def initialize_state(self, decode_weight: float = 16.0) -> None:
        """Begin to follow the board; called by Ray, on the loop or before it runs."""
        self._index = PrefixIndex(decode_weight)
        self._following: asyncio.Task[None] | None = None
        # Of requests by Ray's own names.
        self._names: dict[str, str] = {}

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """Rank the replicas, the cheapest first; Ray takes the first that takes the request."""
        if self._following is None:
            self._following = asyncio.create_task(self._follow(), name="board follower")
        route = _route_of(pending_request)
        if route is None or pending_request is None:
            return [candidate_replicas]
        # All are tried in one turn; without this Ray begins the next at once, and again.
        pending_request.routing_context.should_backoff = True
        by_id = {replica.replica_id.unique_id: replica for replica in candidate_replicas}
        ranked = self._index.ranked(route, by_id.keys())
        self._index.expect(route, ranked[0])
        return [[by_id[replica_id]] for replica_id in ranked]

    def on_request_routed(
        self,
        pending_request: PendingRequest,
        replica_id: ReplicaID,
        result: Any,  # noqa: ANN401, ARG002 (Ray's)
    ) -> None:
        """Count on the request's prompt being there until it has ended."""
        # One without tokens is about another, which goes on when this has ended.
        if (route := _route_of(pending_request)) is not None and route.num_tokens:
            self._names[pending_request.metadata.internal_request_id] = route.request_id
            self._index.sent(route, replica_id.unique_id)

    def on_request_completed(self, replica_id: ReplicaID, internal_request_id: str) -> None:
        """Count on it no longer; Ray calls this on whatever thread learns of it."""
        self._event_loop.call_soon_threadsafe(self._ended, internal_request_id, replica_id.unique_id)

    def _ended(self, internal_request_id: str, replica_id: str) -> None:
        if (request_id := self._names.pop(internal_request_id, None)) is not None:
            self._index.ended(request_id, replica_id)

    def on_replica_actor_died(self, replica_id: ReplicaID) -> None:
        """Forget a replica that has died."""
        super().on_replica_actor_died(replica_id)
        self._index.forget(replica_id.unique_id)

    async def _follow(self) -> None:
        """Hear of what replicas have and do, for ever."""
        cursor = Cursor()
        while True:
            try:
                board = board_of(self._deployment_id.name, self._deployment_id.app_name)
                while True:
                    cursor, news = await board.news.remote(cursor)
                    for replica_id, data in news:
                        update = wire.update(data)
                        self._index.note(replica_id, update.events, update.load)
            except Exception as error:
                log.warning("the board is not there: %r", error)
                await asyncio.sleep(_RETRY_SECONDS)


def _route_of(pending_request: PendingRequest | None) -> Route | None:
    """What the caller says of a request; None for one that may go anywhere."""
    given = () if pending_request is None else (*pending_request.args, *pending_request.kwargs.values())
    return next((value for value in given if isinstance(value, Route)), None)
