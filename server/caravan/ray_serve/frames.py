"""What comes from a replica, frame by frame: failures are raised, and a lost replica is told from them."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from caravan.engine.embedding.values import EmbedOutput
from caravan.errors import EngineUnavailableError
from caravan.ray_serve import wire

# How long one that is handed over waits for an engine that is just started anew, and between two tries.
_PATIENCE_SECONDS = 60.0
_RETRY_SECONDS = 0.5


class ReplicaLostError(Exception):
    """The replica has died, or gives its work away."""


async def checked_frames(
    ask: Callable[[], AsyncGenerator[bytes, None]], *, is_patient: bool
) -> AsyncGenerator[wire.Frame, None]:
    """Frames that are no failures, which are raised. Whoever is patient waits for an engine that restarts."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _PATIENCE_SECONDS
    while True:
        try:
            async with contextlib.aclosing(ask()) as frames:
                async for data in frames:
                    yield _sound(wire.frame(data))
            return
        except EngineUnavailableError as error:
            is_restarting = type(error) is EngineUnavailableError
            if not is_restarting:
                raise
            if not is_patient:
                raise ReplicaLostError(error.message) from error
            if loop.time() > deadline:
                raise
        await asyncio.sleep(_RETRY_SECONDS)


def _sound(frame: wire.Frame) -> wire.Frame:
    if not isinstance(frame, wire.Failed):
        return frame
    error = wire.error_of(frame)
    if frame.is_lost and not isinstance(error, EngineUnavailableError):
        raise ReplicaLostError(error.message) from error
    raise error


async def vectors_of(frames: AsyncIterator[wire.Frame]) -> AsyncGenerator[EmbedOutput, None]:
    """The vectors that frames bring."""
    async for frame in frames:
        if isinstance(frame, wire.Embedded):
            for output in frame.outputs:
                yield output
