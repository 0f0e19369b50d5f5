"""Whose turn it is where requests wait for each other on the event loop."""

from contextlib import AbstractAsyncContextManager

from server import caller
from server.sharing.fair_limiter import FairLimiter


def turn(limiter: FairLimiter) -> AbstractAsyncContextManager[None]:
    """A place for the present request, to be waited for and had; each key has a share of the time."""
    who = caller.current()
    return limiter.held(who.id, who.weight)
