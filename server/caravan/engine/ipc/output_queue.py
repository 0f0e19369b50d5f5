"""Where a request's outputs wait for the coroutine that sends them."""

import asyncio

import msgspec

from caravan.engine.outputs import TokenLogprob, TokenOutput
from caravan.errors import CaravanError

Item = TokenOutput | CaravanError


class OutputQueue:
    """What has come for one request, for its one reader, who takes all at once.

    Log probabilities of its prompt that come in slices are kept for the output that they belong to; none stay
    if a choice ends before all `num_scores` have come.
    """

    def __init__(self, num_scores: int = 0) -> None:
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
            if item.index in self._slices:
                item = self._joined(item)
        self._items.append(item)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def take(self) -> list[Item]:
        """All items since the last time, in order; waits for the first."""
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
