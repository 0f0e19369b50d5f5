"""Requests on their way to becoming sequences; constrained ones wait for their masks."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from server.engine.detokenizer import Detokenizer
from server.engine.params import GenerationRequest
from server.engine.ports import TokenTable
from server.engine.sampling.sampler import Sampler, TokenSpace
from server.engine.sequence import Sequence
from server.engine.token_mask import ConstraintError, MaskFactory, TokenMask

Masks = list[TokenMask] | ConstraintError


class Intake:
    """Makes sequences, and masks on a thread of its own, so that running streams do not wait for a grammar.

    Apart from `deliver`, which is called on that thread, everything happens on the engine's.
    """

    def __init__(
        self,
        tokens: TokenTable,
        token_space: TokenSpace,
        context_size: int,
        deliver: Callable[[GenerationRequest, Masks], None],
    ) -> None:
        self._tokens = tokens
        self._token_space = token_space
        self._factory = MaskFactory(len(token_space.ids), tokens)
        self._context_size = context_size
        self._deliver = deliver
        self._num_arrivals = 0
        self._waiting: dict[str, GenerationRequest] = {}
        self._thread: ThreadPoolExecutor | None = None

    def __len__(self) -> int:
        """How many choices wait."""
        return sum(request.n for request in self._waiting.values())

    def fault_of(self, request: GenerationRequest, *, is_taken: bool) -> str | None:
        """Why the engine cannot take a request, whose id is taken or not.

        Callers check before; this guards the process.
        """
        if not 0 < len(request.token_ids) < self._context_size:
            return f"{len(request.token_ids)} prompt tokens do not fit {self._context_size}"
        if min(request.token_ids) < 0 or max(request.token_ids) >= len(self._token_space.ids):
            return "a prompt token is outside the vocabulary"
        if is_taken or request.id in self._waiting:
            return "a request of this id is running"
        if request.reasoning or request.shown_token_ids or (request.constraint and request.constraint.after):
            return "reasoning and constraints after markers are not supported"
        return None

    def add(self, request: GenerationRequest) -> None:
        """Begin to make the masks of a request."""
        self._waiting[request.id] = request
        self._worker().submit(self._make, request)

    def is_awaited(self, request: GenerationRequest) -> bool:
        """Whether a request still waits; another of its name may have come since it was aborted."""
        return self._waiting.get(request.id) is request

    def take(self, request_id: str) -> GenerationRequest | None:
        """A request that waited and does so no longer; None if it did not, or was taken before."""
        return self._waiting.pop(request_id, None)

    def sequences(
        self, request: GenerationRequest, masks: Iterable[TokenMask | None] | None = None
    ) -> list[Sequence]:
        """The choices of a request that has all it needs, a mask each if it is constrained."""
        made = []
        for index, mask in enumerate(masks or [None] * request.n):
            self._num_arrivals += 1
            sampler = Sampler(request.params, request.token_ids, index, self._token_space, mask)
            detokenizer = Detokenizer(self._tokens, request.params)
            made.append(Sequence(request, index, self._num_arrivals, sampler, detokenizer))
        return made

    def close(self) -> list[GenerationRequest]:
        """Make no more masks; all requests that waited."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
        waiting = list(self._waiting.values())
        self._waiting.clear()
        return waiting

    def _worker(self) -> ThreadPoolExecutor:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "masks")
        return self._thread

    def _make(self, request: GenerationRequest) -> None:
        assert request.constraint is not None
        try:
            masks: Masks = self._factory.make(request.constraint, request.n)
        except ConstraintError as error:
            masks = error
        except Exception as error:
            masks = ConstraintError(f"the constraint could not be prepared: {error}")
        self._deliver(request, masks)
