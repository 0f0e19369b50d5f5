"""What is told to those who cannot have a model."""

from collections.abc import Sequence

from caravan.auth.principal import Principal
from caravan.errors import EngineUnavailableError, InvalidRequestError, ModelNotFoundError
from caravan.models.loader import ModelSpec

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


def usable_names(specs: Sequence[ModelSpec], principal: Principal) -> list[str]:
    """All names that lists show a caller, those of adapters included."""
    return [name for spec in specs for name in spec.usable_names(principal)]


def unnamed(usable: Sequence[str], principal: Principal) -> InvalidRequestError:
    """Make what a request without a name gets, where that could be several models, or is none."""
    if not usable:
        return ModelNotFoundError(none_usable(principal), param="model")
    message = "'model' is required: this server has several."
    return InvalidRequestError(message, param="model", code="missing_required_parameter")


def unknown(name: str, specs: Sequence[ModelSpec], principal: Principal) -> ModelNotFoundError:
    """Make what a request gets that names a model which is not there for its caller, of all `specs`."""
    served = ", ".join(f"'{other}'" for other in usable_names(specs, principal))
    told = f"This server has {served}." if served else none_usable(principal)
    return ModelNotFoundError(f"The model '{name[:200]}' does not exist. {told}", param="model")
