"""Who asks, and where it is counted what they get: from the middleware that opens it to all that serve."""

from collections.abc import AsyncGenerator, MutableMapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from caravan_schemas.keep_alive import seconds_of

from caravan.auth.principal import ANONYMOUS, Principal
from caravan.errors import CaravanError
from caravan.models import ModelRegistry
from caravan.models.loaded_model import LoadedModel
from caravan.observability.request_metrics import RequestMetrics

_IN_SCOPE = "caravan.context"


@dataclass(frozen=True, kw_only=True)
class RequestContext:
    """The holder of the request's key, and the request's metrics: an argument of whatever serves it."""

    principal: Principal = ANONYMOUS
    metrics: RequestMetrics = field(default_factory=RequestMetrics)

    @asynccontextmanager
    async def charged(self, model: str, num_prompt_tokens: int) -> AsyncGenerator[None, None]:
        """Charge and count prompts that are computed in this block, but for those that the server fails.

        Raises RateLimitError where the key has too few tokens left.
        """
        if self.principal.allowance is not None:
            await self.principal.allowance.reserve(num_prompt_tokens)
        self.metrics.model = model
        self.metrics.num_prompt_tokens += num_prompt_tokens
        try:
            yield
        except CaravanError:
            self.metrics.waive(num_prompt_tokens)
            raise

    def holding(self, registry: ModelRegistry, model: str) -> AbstractAsyncContextManager[LoadedModel]:
        """Hold a model for a block, and have it stay behind that as the request wants."""
        return registry.holding(model, self.principal, self.metrics.stay_seconds)

    def note_stay(self, keep_alive: str | float | None, model: str, registry: ModelRegistry) -> None:
        """Have the request's hold on its model end as `keep_alive` wishes; what cannot be is reported.

        Raises ModelNotFoundError.
        """
        if keep_alive is None:
            return
        seconds = self.metrics.stay_seconds = seconds_of(keep_alive)
        if not registry.find(model, self.principal).may_stay(seconds):
            self.metrics.ignore(["keep_alive"])


def context_of(scope: MutableMapping[str, object]) -> RequestContext:
    """Return the context in the scope of a request (ASGI). Outside of the middleware, it is nobody's."""
    context = scope.get(_IN_SCOPE) or RequestContext()
    assert isinstance(context, RequestContext)
    return context


def use_context(scope: MutableMapping[str, object], context: RequestContext) -> None:
    """Make this the request's context."""
    scope[_IN_SCOPE] = context
