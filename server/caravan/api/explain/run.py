"""An explanation being made: all variants drawn, and then written."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from caravan.api.context import RequestContext
from caravan.api.explain.variants import PlannedVariant
from caravan.api.explain.writer import DrawnVariant, ExplanationWriter
from caravan.api.prepared import Prepared
from caravan.api.run import Run
from caravan.models import ModelRegistry
from caravan.models.loaded_model import LoadedModel
from caravan.runtime.threads import in_busy_thread


@dataclass(frozen=True, kw_only=True)
class Explained:
    """A request that nothing can refuse any more: one of `prepared.requests` for each of the variants."""

    prepared: Prepared
    variants: Sequence[PlannedVariant]
    created: int


class ExplainRun(Run):
    """A run whose answer is the explanation; the choices are the variants.

    A model makes one explanation at a time, so that many of them do not slow everybody's texts.
    """

    def __init__(
        self,
        registry: ModelRegistry,
        model_name: str,
        explain: Callable[[LoadedModel], Awaitable[Explained]],
        context: RequestContext,
    ) -> None:
        super().__init__(registry, model_name, self._prepare_explained, context)
        self._explain = explain
        self._explained: Explained | None = None
        self._turn = AsyncExitStack()

    async def aclose(self) -> None:
        """End it as any run, and let the next explanation begin."""
        try:
            await super().aclose()
        finally:
            await self._turn.aclose()

    async def whole(self) -> list[bytes]:
        """Write the answer as JSON, in pieces."""
        await self.start()
        assert self._explained is not None
        drawn = [DrawnVariant(plan) for plan in self._explained.variants]
        async for output in self:
            drawn[output.index].add(output)
        writer = ExplanationWriter(self._explained.prepared.requests[0], self.model, self._explained.created)
        usage = self.usage()
        # As a list, since a generator would be run on the event loop.
        return await in_busy_thread(partial(list, writer.pieces(drawn, usage)))

    async def events(self) -> AsyncGenerator[Sequence[bytes], None]:
        """An explanation is not streamed."""
        yield await self.whole()

    async def _prepare_explained(self, model: LoadedModel) -> Prepared:
        principal = self.context.principal
        await self._turn.enter_async_context(model.explanations.held(principal.id, principal.weight))
        self._explained = await self._explain(model)
        return self._explained.prepared
