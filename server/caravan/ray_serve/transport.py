"""The way to replicas by a handle of Ray Serve."""

import contextlib
import contextvars
import logging
from collections.abc import AsyncGenerator
from typing import Any

from ray.exceptions import RayActorError
from ray.serve.handle import DeploymentHandle

from caravan.ray_serve import wire
from caravan.ray_serve.actors import board_of
from caravan.ray_serve.frames import ReplicaLostError
from caravan.ray_serve.wire import Facts, Load, Route

log = logging.getLogger(__name__)


class HandleReplicas:
    """The `Replicas` of one deployment."""

    def __init__(self, handle: DeploymentHandle) -> None:
        self._handle = handle
        self._streaming = handle.options(stream=True)
        self._board = board_of(handle.deployment_name, handle.app_name)

    async def facts(self) -> Facts:
        """What an engine has settled on; waits until there is one."""
        return wire.facts(await self._handle.facts.remote())

    def generate(self, request: bytes, route: Route) -> AsyncGenerator[bytes, None]:
        """Frames of a request for text."""
        return _frames(self._streaming.generate, request, route)

    def embed(self, request: bytes, route: Route) -> AsyncGenerator[bytes, None]:
        """Frames of a request for vectors."""
        return _frames(self._streaming.embed, request, route)

    def end_thoughts(self, route: Route, owner: str) -> None:
        """Have a request begin to answer; nothing is awaited."""
        self._handle.end_thoughts.remote(route, owner)

    async def loads(self) -> list[Load]:
        """What each replica has to do."""
        loads: list[Load] = await self._board.loads.remote()
        return loads


async def _frames(method: Any, request: bytes, route: Route) -> AsyncGenerator[bytes, None]:  # noqa: ANN401 (Ray's)
    # Ray names a call after the request of HTTP that asks for it, and loses one of two with the same name. In
    # an empty context each has a name of its own.
    response = contextvars.Context().run(method.remote, request, route)
    has_ended = False
    try:
        async for frame in response:
            yield frame
        has_ended = True
    except RayActorError as error:
        has_ended = True
        raise ReplicaLostError(str(error).splitlines()[0]) from error
    finally:
        if not has_ended:
            with contextlib.suppress(Exception):
                response.cancel()
