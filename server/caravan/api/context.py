"""Who asks, and where it is counted what they get."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from caravan.auth.principal import ANONYMOUS, Principal
from caravan.errors import CaravanError
from caravan.observability.request_metrics import RequestMetrics


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
