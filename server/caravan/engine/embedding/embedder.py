"""Texts into vectors: packed into small batches on a context of their own, between the steps of streams."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator

import msgspec

from caravan.engine.embedding.text import Text, failure
from caravan.engine.embedding.values import EmbedOutput, EmbedRequest
from caravan.engine.params import BACKGROUND_PRIORITY
from caravan.engine.prefill_budget import BACKGROUND_SECONDS, PrefillBudget
from caravan.engine.waiting_queue import MAX_PASSED
from caravan.llama.batch import Batch
from caravan.llama.embedding_context import EmbeddingContext
from caravan.llama.model_file import LookAtWeights, Weights, WeightsChangedError, always_sound
from caravan.runtime.fair_queue import FairOrder

log = logging.getLogger(__name__)

_LEAST_CELLS = 512

MakeContext = Callable[[int], EmbeddingContext]


class NoMemoryError(Exception):
    """There is no memory for a context of the size that is needed; the message is for the client."""


class Embedder:
    """Higher priorities come first, but for every ninth text. Among equals, owners take turns by tokens, and
    the requests of each, text by text; the pieces of a text follow each other, and batches are packed.
    Background work stands still while there is any other, and begins anew where its place is needed.

    `make_context` gets the cells that the longest text needs, and raises NoMemoryError; the context is made
    when the first text comes, and again for longer ones. With `is_whole`, a text is never cut: the model
    looks at all of it at once. One thread only, except for `publish`, which is called on it.
    """

    def __init__(
        self,
        make_context: MakeContext,
        publish: Callable[[list[EmbedOutput]], None],
        *,
        max_length: int,
        step_seconds: float,
        is_whole: bool,
        look_at_weights: LookAtWeights = always_sound,
    ) -> None:
        self._look_at_weights = look_at_weights
        self._make_context = make_context
        self._publish = publish
        self._max_length = max_length
        self._is_whole = is_whole
        self._clock = PrefillBudget(step_seconds)
        self._background_clock = PrefillBudget(min(BACKGROUND_SECONDS, step_seconds))
        self._context: EmbeddingContext | None = None
        self._batch = Batch(1)
        self._live_order, self._background_order = FairOrder(), FairOrder()
        # By priority, by owner, then by request; the one whose turn was the longest ago comes first.
        self._waiting: dict[int, dict[str, dict[str, deque[Text]]]] = {}
        self._running: list[Text] = []
        self._num_passed = 0

    @property
    def has_work(self) -> bool:
        """Whether any text is unfinished."""
        return bool(self._waiting or self._running)

    @property
    def has_live(self) -> bool:
        """Whether any unfinished text is no background work."""
        is_waiting = any(priority > BACKGROUND_PRIORITY for priority in self._waiting)
        return is_waiting or any(not text.is_background for text in self._running)

    def add(self, request: EmbedRequest) -> None:
        """Queue a request."""
        texts = deque(Text(request, index) for index in range(len(request.inputs)))
        self._put(request, texts)

    def abort(self, request_id: str) -> None:
        """Forget a request; unknown ids are ignored."""
        owned = [requests for owners in self._waiting.values() for requests in owners.values()]
        for request in [requests[request_id][0].request for requests in owned if request_id in requests]:
            self._take_out(request)
        for text in [text for text in self._running if text.request.id == request_id]:
            self._release(text)

    def step(self, *, is_beside: bool, has_live_beside: bool = False) -> None:
        """Compute one batch; `is_beside` streams it is small enough for their pace. With `has_live_beside`,
        there is none of background work.

        Raises WeightsChangedError and nothing else.
        """
        if not self.has_work or (has_live_beside and not self.has_live):
            return
        try:
            outputs = self._computed(is_beside=is_beside)
        except (NoMemoryError, MemoryError) as error:
            told = str(error) or "There is too little memory at the moment for these embeddings."
            outputs = [msgspec.structs.replace(output, is_memory_short=True) for output in self._fail(told)]
        except WeightsChangedError:
            raise
        except Exception as error:
            log.exception("embeddings failed")
            outputs = self._fail(f"the embedding failed: {error}")
        for request_id in {output.request_id for output in outputs if output.error}:
            self.abort(request_id)
        if outputs:
            self._publish(outputs)

    def close(self) -> None:
        """Forget everything and give the memory back."""
        self._waiting.clear()
        self._running.clear()
        if self._context is not None:
            self._context.close()
            self._context = None

    def _computed(self, *, is_beside: bool) -> list[EmbedOutput]:
        context = self._fitting_context()
        self._batch.clear()
        work = list(self._work(context, self._budget(context, is_beside=is_beside)))
        if not work:
            # Background work has made room, also for a larger context.
            return []
        for text, count in work:
            start = text.num_computed
            piece = text.token_ids[start : start + count]
            self._batch.add(text.seq_id, start, piece, wants_logits=True)
            self._batch.mark(count)
        started = time.perf_counter()
        found = context.compute(self._batch)
        if self._look_at_weights() is Weights.SUSPECT:
            self._restart(context)
            return []
        for clock in (self._clock, self._background_clock):
            clock.observe(self._batch.num_tokens, time.perf_counter() - started)
        for (text, count), rows in zip(work, found, strict=True):
            text.take(rows, count)
        done = [text for text, _ in work if not text.num_missing]
        for text in done:
            self._release(text)
        return [text.output() for text in done]

    def _restart(self, context: EmbeddingContext) -> None:
        """Have all texts that have begun computed again: their weights may have been others meanwhile."""
        for text in self._running:
            context.remove_sequence(text.seq_id)
            text.restart()

    def _budget(self, context: EmbeddingContext, *, is_beside: bool) -> int:
        is_short = is_beside or not self.has_live
        if not is_short or self._is_whole:
            return context.batch_size
        clock = self._clock if self.has_live else self._background_clock
        return min(context.batch_size, clock.prompt_budget())

    def _work(self, context: EmbeddingContext, budget: int) -> Iterator[tuple[Text, int]]:
        """Pieces for a batch: of texts that have begun, then of others as long as there is room."""
        has_live = self.has_live
        for text in list(self._running):
            if has_live and text.is_background:
                continue
            count = min(text.num_missing, budget)
            if count:
                budget -= count
                yield text, count
        while budget and (next_text := self._admitted(context, budget)) is not None:
            count = min(next_text.num_missing, budget)
            budget -= count
            yield next_text, count

    def _admitted(self, context: EmbeddingContext, budget: int) -> Text | None:
        """The next waiting text, if it has room; its request then goes to the end of the queue."""
        text = self._next
        if text is None or (text.is_background and self.has_live) or not self._make_way(text, context):
            return None
        if self._is_whole and len(text.token_ids) > budget:
            return None
        request = text.request
        if request.priority < max(self._waiting):
            self._num_passed = 0
        elif self._lower(request.priority):
            self._num_passed += 1
        texts = self._take_out(request)
        texts.popleft()
        if texts:
            self._put(request, texts)
        order = self._order_of(request)
        order.begin(order.place(request.owner, request.weight, len(text.token_ids)))
        taken = {other.seq_id for other in self._running}
        text.seq_id = next(i for i in range(context.max_sequences) if i not in taken)
        self._running.append(text)
        return text

    @property
    def _next(self) -> Text | None:
        if not self._waiting:
            return None
        top = max(self._waiting)
        classes = [self._waiting[top]]
        if self._num_passed >= MAX_PASSED and (lower := self._lower(top)):
            classes = lower
        chosen = min(
            (item for owners in classes for item in owners.items()),
            key=lambda item: self._order_of(next(iter(item[1].values()))[0].request).start(item[0]),
        )
        return next(iter(chosen[1].values()))[0]

    def _lower(self, priority: int) -> list[dict[str, dict[str, deque[Text]]]]:
        """What waits that is of a lower priority, and no background work."""
        return [owners for other, owners in self._waiting.items() if BACKGROUND_PRIORITY < other < priority]

    def _order_of(self, request: EmbedRequest) -> FairOrder:
        return self._background_order if request.is_background else self._live_order

    def _make_way(self, text: Text, context: EmbeddingContext) -> bool:
        """Whether there is room for a text, after background work has given up what it has, if that helps."""
        while not self._has_place(text, context):
            background = [other for other in self._running if other.is_background]
            if text.is_background or not background:
                return False
            self._put_back(background[-1])
        return True

    def _has_place(self, text: Text, context: EmbeddingContext) -> bool:
        num_taken = sum(len(other.token_ids) for other in self._running)
        is_free = len(self._running) < context.max_sequences
        return is_free and num_taken + len(text.token_ids) <= context.num_cells

    def _put_back(self, text: Text) -> None:
        """Have a text that has begun wait again, before the others of its request."""
        self._release(text)
        text.restart()
        request = text.request
        others = self._waiting.get(request.priority, {}).get(request.owner, {}).get(request.id, deque())
        self._put(request, deque([text, *others]))

    def _put(self, request: EmbedRequest, texts: deque[Text]) -> None:
        owners = self._waiting.setdefault(request.priority, {})
        owners.setdefault(request.owner, {})[request.id] = texts

    def _take_out(self, request: EmbedRequest) -> deque[Text]:
        owners = self._waiting[request.priority]
        texts = owners[request.owner].pop(request.id)
        if not owners[request.owner]:
            del owners[request.owner]
        if not owners:
            del self._waiting[request.priority]
        return texts

    def _fitting_context(self) -> EmbeddingContext:
        """The context; a larger one if the next text needs it and no other is in the middle."""
        needed = _LEAST_CELLS
        if not self._running and self._next is not None:
            needed = max(needed, len(self._next.token_ids))
        if self._context is None or (not self._running and self._context.num_cells < needed):
            if self._context is not None:
                self._context.close()
                self._context = None
            # Twice what is needed at most, so that growing texts do not make contexts all the time.
            self._context = self._make_context(min(1 << (needed - 1).bit_length(), self._max_length))
            self._batch = Batch(self._context.batch_size)
        return self._context

    def _fail(self, error: str) -> list[EmbedOutput]:
        """End the requests that were being computed, or else the next; what waits gets a new context."""
        texts = self._running or [text for text in [self._next] if text is not None]
        failed = {text.request.id for text in texts}
        for request_id in failed:
            self.abort(request_id)
        if self._context is not None:
            self._context.close()
            self._context = None
        return [failure(request_id, error) for request_id in sorted(failed)]

    def _release(self, text: Text) -> None:
        self._running.remove(text)
        if self._context is not None:
            self._context.remove_sequence(text.seq_id)
