"""How long a request wants its model to stay loaded: `keep_alive`, as the operator's options allow it."""

from caravan_schemas.keep_alive import seconds_of

from caravan.api.context import RequestContext
from caravan.models import ModelRegistry


def note_stay(
    keep_alive: str | float | None, model: str, registry: ModelRegistry, context: RequestContext
) -> None:
    """Have the request's hold on its model end with this wish; what cannot be is reported.

    Raises ModelNotFoundError.
    """
    if keep_alive is None:
        return
    seconds = context.metrics.stay_seconds = seconds_of(keep_alive)
    if not registry.find(model, context.principal).may_stay(seconds):
        context.metrics.ignore(["keep_alive"])
