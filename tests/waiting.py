"""How tests wait: for states, never for times. A deadline only keeps a broken test from hanging."""

import asyncio
import time
from collections.abc import Callable

# Seconds. What passes takes far less, also on a machine that is slow, busy, or stands still for a while.
PATIENCE = 180


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for what must come; one that knows a state which is no longer than a moment may miss it."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "what the test waits for never came"
        time.sleep(0.005)


async def until(condition: Callable[[], object]) -> None:
    """The same on an event loop, which goes on meanwhile."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.002)
