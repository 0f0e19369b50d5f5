"""Who asks, where it is counted what they get, and what follows from who asks: a turn, a model."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from caravan.auth.principal import ANONYMOUS, Principal
from caravan.errors import InvalidRequestError, ModelNotFoundError
from caravan.models import ModelRegistry, may_use, none_usable
from caravan.observability.request_metrics import RequestMetrics
from caravan.runtime.threads import FairLimiter


@dataclass(frozen=True, kw_only=True)
class RequestContext:
    """The holder of the request's key, and the request's metrics: an argument of whatever serves it."""

    principal: Principal = ANONYMOUS
    metrics: RequestMetrics = field(default_factory=RequestMetrics)


def turn(limiter: FairLimiter, principal: Principal) -> AbstractAsyncContextManager[None]:
    """Wait for and hold a place of a limiter, of which each key has a share."""
    return limiter.held(principal.id, principal.weight)


def chosen_model(registry: ModelRegistry, name: str, principal: Principal) -> str:
    """Return the name of the model that a request means, which may leave it out.

    Raises InvalidRequestError where it is left out and several are served, or none.
    """
    if name:
        return name
    specs = [spec for spec in registry.specs if may_use(spec, principal)]
    if not specs:
        raise ModelNotFoundError(none_usable(principal), param="model")
    if len(specs) != 1:
        raise InvalidRequestError(
            "'model' is required: this server has several.", param="model", code="missing_required_parameter"
        )
    return specs[0].id
