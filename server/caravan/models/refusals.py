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


def unnamed(usable: Sequence[ModelSpec], principal: Principal) -> InvalidRequestError:
    """Make what a request without a name gets, where that could be several models, or is none."""
    if not usable:
        return ModelNotFoundError(none_usable(principal), param="model")
    message = "'model' is required: this server has several."
    return InvalidRequestError(message, param="model", code="missing_required_parameter")


def unknown(name: str, usable: Sequence[ModelSpec], principal: Principal) -> ModelNotFoundError:
    """Make what a request gets that names a model which is not there for its caller."""
    served = ", ".join(f"'{spec.id}'" for spec in usable)
    told = f"This server has {served}." if served else none_usable(principal)
    return ModelNotFoundError(f"The model '{name[:200]}' does not exist. {told}", param="model")
