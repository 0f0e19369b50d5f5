"""What is told to those who cannot have a model."""

from caravan.auth.principal import Principal
from caravan.errors import EngineUnavailableError

# Advice to clients that waited in vain; a load takes seconds to minutes.
RETRY_SECONDS = 5


def closing() -> EngineUnavailableError:
    """The error of requests that come while the server ends."""
    return EngineUnavailableError("the server is shutting down", retry_after=RETRY_SECONDS)


def none_usable(principal: Principal) -> str:
    """Why a caller who may use no model has none."""
    return (
        "This server has no models." if principal.models is None else "This key may use none of the models."
    )
