"""Explanations of decoding: requests to the engine, alike but for their parameters, whose draws are shown."""

import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial

import msgspec
from caravan_schemas.chat import (
    ChatCompletionRequest,
    PromptFields,
    ReasoningFields,
    ToolFields,
)
from caravan_schemas.completions import CompletionRequest
from caravan_schemas.explanations import ExplainRequest

from caravan.api.chat import ChatService
from caravan.api.completions import CompletionService
from caravan.api.context import RequestContext
from caravan.api.explain.variants import Body, PlannedVariant, check_draws, num_told, planned
from caravan.api.explain.writer import DrawnVariant, ExplanationWriter
from caravan.api.params.decoding_plan import DecodingPlanner
from caravan.api.prepared import Prepared
from caravan.api.prompt.tokenize import check_length
from caravan.api.run import Run
from caravan.engine.params import GenerationRequest
from caravan.errors import InvalidValueError
from caravan.models import ModelRegistry
from caravan.models.loaded_model import LoadedModel
from caravan.runtime.threads import in_busy_thread, in_thread

# Fields that a chat template is told, or that are about its answer.
_OF_CHATS = frozenset(
    name for part in (ToolFields, PromptFields, ReasoningFields) for name in part.model_fields
)


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


@dataclass(frozen=True)
class ExplainService:
    """Serves `POST /v1/decoding/explain` for all models of a registry."""

    registry: ModelRegistry
    decoding: DecodingPlanner
    chat: ChatService
    completions: CompletionService

    def run(self, request: ExplainRequest, context: RequestContext) -> ExplainRun:
        """Make the run of a request; nothing has happened yet."""
        prepare = partial(self._prepare, request, context)
        return ExplainRun(self.registry, request.model, prepare, context)

    async def _prepare(
        self, request: ExplainRequest, context: RequestContext, model: LoadedModel
    ) -> Explained:
        """Do everything that can refuse the request; nothing reaches the engine here."""
        body, principal = _body(request), context.principal
        model.engine.check_room(principal.id, principal.weight, 1)
        request_id = f"explain-{uuid.uuid4().hex}"
        prepared = await self._answer(body, request_id, context, model)
        plan = partial(self._variants, request, body, prepared, model)
        limiter = model.threads.held(principal.id, principal.weight)
        try:
            requests, variants = await in_thread(plan, limiter=limiter)
        except BaseException:
            if prepared.prompt is not None:
                prepared.prompt.release()
            raise
        return Explained(
            prepared=replace(prepared, requests=requests, shares_prompt=True),
            variants=variants,
            created=int(time.time()),
        )

    async def _answer(
        self, body: Body, request_id: str, context: RequestContext, model: LoadedModel
    ) -> Prepared:
        """Prepare the answer of the request's own parameters, as the completion routes do."""
        if isinstance(body, ChatCompletionRequest):
            return await self.chat.prepare(body, request_id, context, model)
        return await self.completions.prepare(body, request_id, context, model, default_max_tokens=None)

    def _variants(
        self, request: ExplainRequest, body: Body, prepared: Prepared, model: LoadedModel
    ) -> tuple[list[GenerationRequest], list[PlannedVariant]]:
        (own,) = prepared.requests
        continued = tuple(request.continue_from or ())
        is_guided = own.constraint is not None or own.reasoning is not None
        variants = planned(request, body, model, self.decoding, is_guided=is_guided)
        token_ids = own.token_ids + continued
        check_length(model, token_ids, param="continue_from" if continued else "prompt")
        requests = [
            msgspec.structs.replace(
                own,
                id=f"{own.id}-{index}" if index else own.id,
                token_ids=token_ids,
                num_continued=len(continued),
                params=variant.params,
                num_traced=num_told(request, model),
                # The prompt is computed once; what stands may have to be computed for each.
                cost=len(continued) + variant.num_steps if index else None,
            )
            for index, variant in enumerate(variants)
        ]
        return requests, variants


def _body(request: ExplainRequest) -> Body:
    """Make the completion or chat whose decoding is to be explained. Raises InvalidRequestError."""
    if (request.prompt is None) == (request.messages is None):
        raise InvalidValueError("prompt", "must be given, or else 'messages', and only one of them")
    form: type[Body] = ChatCompletionRequest
    if request.messages is None:
        form = CompletionRequest
        unused = [name for name in request.model_fields_set & _OF_CHATS if getattr(request, name) is not None]
        if unused:
            raise InvalidValueError(min(unused), "is only allowed with 'messages'")
    # Fields that nobody declares are counted as set, too.
    shared = request.model_fields_set & type(request).model_fields.keys() & form.model_fields.keys()
    # Every value has been validated as a part of the request.
    body = form.model_construct(**{name: getattr(request, name) for name in shared})
    check_draws(body)
    return body
