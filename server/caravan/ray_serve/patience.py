"""Calls of an actor that has died: it is started anew, and asked again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

log = logging.getLogger(__name__)

# Calls a method of an actor by its name, and waits for what it returns.
Ask = Callable[..., Awaitable[Any]]

# How long one that is just started anew is waited for: Ray notices a death, and starts a process.
_PATIENCE_SECONDS = 20.0
_RETRY_SECONDS = 0.25


def patient(ask: Ask, lost: type[Exception]) -> Ask:
    """The same for calls that do no harm if they are done twice; `lost` is what is raised of an actor that is
    gone, and still is after a while.
    """

    async def insist(name: str, *arguments: object) -> Any:  # noqa: ANN401 (the actor's)
        deadline = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
        while True:
            try:
                return await ask(name, *arguments)
            except lost as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                log.warning("an actor is lost, and asked again: %s", str(error).partition("\n")[0])
            await asyncio.sleep(_RETRY_SECONDS)

    return insist
