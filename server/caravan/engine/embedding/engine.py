"""The engine of a model that makes vectors and no text."""

import queue
from collections.abc import Callable
from functools import partial

from caravan.engine.embedding.embedder import Embedder
from caravan.engine.embedding.values import EmbedRequest
from caravan.engine.heartbeat import HeartbeatClock
from caravan.engine.outputs import EngineStats, Publish, refusal
from caravan.engine.params import GenerationRequest

_LONGEST_SECONDS = 300.0


class EmbeddingEngine:
    """What `caravan.engine.engine.Engine` is, without anything that generates. `run` is the thread."""

    def __init__(
        self,
        embedder: Embedder,
        publish: Publish,
        heart: HeartbeatClock | None = None,
    ) -> None:
        self._embedder = embedder
        self._publish = publish
        self._heart = heart or HeartbeatClock()
        # A text is computed whole, however long it is, and takes time by the square of that.
        self._heart.allow(_LONGEST_SECONDS)
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._stopping = False

    def submit(self, request: GenerationRequest) -> None:
        """Answer a request for text with an error."""
        outputs = refusal(request, "this model makes embeddings only")
        self._inbox.put(partial(self._publish, outputs, EngineStats))

    def embed(self, request: EmbedRequest) -> None:
        """Queue texts for their vectors."""
        self._inbox.put(partial(self._embedder.add, request))

    def abort(self, request_id: str) -> None:
        """End a request; unknown ids are ignored."""
        self._inbox.put(partial(self._embedder.abort, request_id))

    def stop(self) -> None:
        """End `run` after the present batch."""
        self._inbox.put(self._stop)

    def run(self) -> None:
        """Work until stopped. Raises WeightsChangedError; whoever started this tells those who wait."""
        while not self._stopping:
            self._heart.beat()
            if not self._embedder.has_work:
                self._heart.rest()
                command = self._inbox.get()
                self._heart.begin()
                command()
            while not self._inbox.empty():
                self._inbox.get()()
            self._embedder.step(is_beside=False)
            self._publish([], EngineStats)
        self._embedder.close()

    def _stop(self) -> None:
        self._stopping = True
