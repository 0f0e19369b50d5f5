"""Where a request's outputs wait for the coroutine that sends them, and what failures among them become."""

import asyncio

import msgspec

from caravan.engine.embedding.values import EmbedOutput
from caravan.engine.outputs import FinishReason, TokenLogprob, TokenOutput
from caravan.engine.params import GenerationRequest
from caravan.errors import (
    CaravanError,
    ConstraintFailedError,
    EngineFailedError,
    InvalidValueError,
    MemoryShortError,
    OverloadedError,
)

# Advice to clients that come while the queue is full, or memory short.
_BUSY_RETRY_SECONDS = 5
# The same where there was no memory for embeddings: others may have given some back by then.
_MEMORY_RETRY_SECONDS = 30

Item = TokenOutput | EmbedOutput | CaravanError


class OutputQueue:
    """What has come for one request, for its one reader, who takes all at once. `num_unfinished` choices or
    vectors are still to come.

    Log probabilities of its prompt that come in slices are kept for the output that they belong to; none stay
    if a choice ends before all `num_scores` have come.
    """

    def __init__(self, num_unfinished: int, num_scores: int = 0) -> None:
        self.num_unfinished = num_unfinished
        self._num_scores = num_scores
        self._slices: dict[int, list[TokenLogprob]] = {}
        self._items: list[Item] = []
        self._waiter: asyncio.Future[None] | None = None

    def put(self, item: Item) -> None:
        """Add an item and wake the reader, unless it is a slice."""
        if isinstance(item, TokenOutput):
            if item.is_slice:
                self._slices.setdefault(item.index, []).extend(item.prompt_logprobs)
                return
            if item.index in self._slices and item.progress is None:
                item = self._joined(item)
        self._items.append(item)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def take(self) -> list[Item]:
        """Take all items since the last time, in order; waits for the first."""
        if not self._items:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
            self._waiter = None
        items, self._items = self._items, []
        return items

    def _joined(self, output: TokenOutput) -> TokenOutput:
        scores = (*self._slices.pop(output.index), *output.prompt_logprobs)
        is_whole = len(scores) == self._num_scores
        return msgspec.structs.replace(output, prompt_logprobs=scores if is_whole else ())


def checked(item: Item, request: GenerationRequest) -> TokenOutput:
    """An output that may go on to the client; failures are raised."""
    if isinstance(item, CaravanError):
        raise item
    assert isinstance(item, TokenOutput)
    if item.finish_reason is FinishReason.NO_MEMORY:
        message = "There is too little memory at the moment for this request."
        raise MemoryShortError(message, retry_after=_BUSY_RETRY_SECONDS)
    if item.finish_reason is FinishReason.ERROR:
        raise EngineFailedError(item.error or "the engine failed")
    if item.finish_reason is FinishReason.UNSATISFIABLE and request.constraint is not None:
        param = request.constraint.param
        raise ConstraintFailedError(f"'{param}' cannot be kept to: {item.error}.", param=param or None)
    if item.finish_reason is FinishReason.CONTRADICTED:
        raise InvalidValueError("continue_from", f"cannot be continued: {item.error}")
    if item.finish_reason is FinishReason.EXPIRED:
        message = "The request has waited too long for its turn."
        raise OverloadedError(message, retry_after=_BUSY_RETRY_SECONDS)
    if item.finish_reason is FinishReason.ABORT:
        raise EngineFailedError("the engine is shutting down")
    return item


def checked_vector(item: Item) -> EmbedOutput:
    """Return a vector that may go on to the client; raise what a failure means."""
    if isinstance(item, CaravanError):
        raise item
    assert isinstance(item, EmbedOutput)
    if item.is_memory_short:
        raise MemoryShortError(item.error or "", retry_after=_MEMORY_RETRY_SECONDS)
    if item.error is not None:
        raise EngineFailedError(item.error)
    return item


def overloaded() -> OverloadedError:
    """Tell a client that the queue is full."""
    return OverloadedError("Too many requests wait for this model.", retry_after=_BUSY_RETRY_SECONDS)
