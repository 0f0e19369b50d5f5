"""Which requests are let in, and whose turn it is where they wait for each other on the event loop."""

from contextlib import AbstractAsyncContextManager

from caravan.auth import principal
from caravan.models.loaded_model import LoadedModel
from caravan.runtime.sharing.fair_limiter import FairLimiter


def check_room(model: LoadedModel, num_choices: int) -> None:
    """Refuse the present request before its prompts are read, if they would not be taken then."""
    who = principal.current()
    model.engine.check_room(who.id, who.weight, num_choices)


def turn(limiter: FairLimiter) -> AbstractAsyncContextManager[None]:
    """A place for the present request, to be waited for and had; each key has a share of the time."""
    who = principal.current()
    return limiter.held(who.id, who.weight)
