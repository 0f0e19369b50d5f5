"""Work that is begun before its answer is: given some time to fail by a status, and given up at the end."""

import asyncio
from typing import Any

from caravan.runtime.threads import to_the_end


async def fail_early(task: asyncio.Future[Any], seconds: float) -> None:
    """Wait until the work is done or `seconds` are over; what it failed with until then is raised here."""
    await asyncio.wait([task], timeout=seconds)
    if task.done() and isinstance(error := task.exception(), Exception):
        raise error


async def give_up(task: asyncio.Future[Any]) -> None:
    """Cancel the work and wait for its end, whatever it is."""
    task.cancel()
    await to_the_end(asyncio.wait([task]))
    if not task.cancelled():
        task.exception()
