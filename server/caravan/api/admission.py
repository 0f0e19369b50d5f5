"""Which requests are let in, and whose turn it is where they wait for each other on the event loop."""

from contextlib import AbstractAsyncContextManager

from caravan.auth.principal import Principal
from caravan.models.loaded_model import LoadedModel
from caravan.runtime.sharing.fair_limiter import FairLimiter


def check_room(model: LoadedModel, principal: Principal, num_choices: int) -> None:
    """Refuse a request before its prompts are read, if they would not be taken then."""
    model.engine.check_room(principal.id, principal.weight, num_choices)


def turn(limiter: FairLimiter, principal: Principal) -> AbstractAsyncContextManager[None]:
    """A place for a request, to be waited for and had; each key has a share of the time."""
    return limiter.held(principal.id, principal.weight)
