"""Constraints at work: which tokens may come next, for one sequence of one model."""

import contextlib
import itertools
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial

import numpy as np
from llguidance import LLMatcher
from numpy.typing import NDArray

from caravan.engine.constraints.cpu_budget import CpuBudget, TooCostlyError, in_words
from caravan.engine.constraints.grammar_vocab import NUM_BYTES, GrammarVocab
from caravan.engine.constraints.mask_places import MaskPlaces
from caravan.grammars.compiler import LIMITS, RECURSION
from caravan.grammars.constraint import Constraint
from caravan.grammars.token_table import TokenTable
from caravan.runtime.deep_stack import DeepStack
from caravan.runtime.machine import has_memory
from caravan.runtime.panics import contains_panics

# Tokens of a forced run that are handed out at once: a step must not become long for the other streams.
_MAX_FORCED = 16
# Compiled constraints that are kept for the next request with the same.
_NUM_KEPT = 64
# What the largest constraints take that the limits let through.
_COMPILER_BYTES = 64 << 20


class ConstraintError(Exception):
    """No text that satisfies the constraint can follow; the sequence has to end."""


class TokenMask:
    """The state of one sequence's constraint. Start from `MaskFactory.make`.

    `prepare` may run on another thread; all other methods wait for it.
    """

    def __init__(
        self, matcher: LLMatcher, vocab_size: int, places: MaskPlaces, on_fault: Callable[[], None]
    ) -> None:
        self._matcher = matcher
        self._vocab_size = vocab_size
        self._places = places
        self._on_fault = on_fault
        self._words = np.zeros((vocab_size + NUM_BYTES + 31) // 32, np.uint32)
        # Asked for once: it is slow as NumPy goes.
        self._address = self._words.ctypes.data
        self._next: tuple[bool, NDArray[np.int32]] | None = None
        self._preparing: Future[None] | None = None
        self._cpu_budget = CpuBudget()
        self._preview_budget = CpuBudget()
        # What the constraint has left no choice about; None while that is not found out.
        self._forced: deque[int] | None = None

    @property
    @contains_panics
    def is_complete(self) -> bool:
        """Whether the constraint is satisfied and nothing can be added."""
        self._join()
        return self._matcher.is_stopped() and not self._matcher.is_error()

    @contains_panics
    def forbid(self, logits: NDArray[np.float32]) -> NDArray[np.int32] | None:
        """Set the logits [vocab_size] of all tokens that may not come next to minus infinity.

        Returns the ids of those that may, ascending, if they are the smaller part. End-of-generation tokens
        may come where the constraint is satisfied. Raises ConstraintError at a dead end, and where working
        all this out has become too costly.
        """
        self._join()
        are_allowed, places = self._next or self._find_next()
        self._check()
        if are_allowed:
            kept = logits[places]
            logits.fill(-np.inf)
            logits[places] = kept
            return places
        logits[places] = -np.inf
        return None

    @contains_panics
    def admits(self, token_id: int) -> bool:
        """Tell whether a token may come next, without working out all others; if so, it is noted.

        Raises ConstraintError where nobody can tell, or no longer at this cost.
        """
        self._join()
        self._begin_token(self._cpu_budget)
        started = time.thread_time()
        is_next = self._matcher.try_consume_tokens([token_id]) == 1
        self._cpu_budget.spend(started)
        if not is_next:
            self._check()
            return False
        self._next = None
        if self._forced and self._forced.popleft() == token_id and self._forced:
            return True
        self._forced = None
        return True

    @contains_panics
    def admits_text(self, head: bytes, token_ids: tuple[int, ...] = ()) -> bool:
        """Tell whether bytes, in whatever tokens, and then tokens may come; if so, they are noted."""
        self._join()
        run = [*(self._vocab_size + byte for byte in head), *token_ids]
        if self._matcher.validate_tokens(run) != len(run) or not self._matcher.consume_tokens(run):
            return False
        self._next = self._forced = None
        return True

    @contains_panics
    def num_possible(self, token_ids: Sequence[int]) -> int:
        """Count the tokens, the first ones, that may come one after the other; nothing is noted.

        Raises ConstraintError where nobody can tell any more at this cost, which is counted by itself: no
        text may end for the sake of what is asked here.
        """
        self._join()
        self._begin_token(self._preview_budget)
        started = time.thread_time()
        count = self._matcher.validate_tokens(list(token_ids))
        self._preview_budget.spend(started)
        return count

    @contains_panics
    def copied(self) -> "TokenMask":
        """Make a mask in the same state, whose cost counts as that of `num_possible`."""
        self._join()
        self._begin_token(self._preview_budget)
        started = time.thread_time()
        twin = TokenMask(self._matcher.deep_copy(), self._vocab_size, self._places, self._on_fault)
        self._preview_budget.spend(started)
        twin._cpu_budget = self._preview_budget
        return twin

    @contains_panics
    def forced(self) -> list[int]:
        """List the tokens with which text has to go on, as the tokenizer spells it, or the first of them.

        Also the only token that `prepare` has found to be possible. Empty where there is a choice, also of
        where a token may end. Raises ConstraintError.
        """
        self._join()
        if self._forced is None:
            started = time.thread_time()
            run = self._matcher.compute_ff_tokens()
            self._cpu_budget.spend(started)
            self._forced = deque(itertools.takewhile(lambda token_id: token_id < self._vocab_size, run))
        self._check()
        if self._forced or self._next is None:
            return list(itertools.islice(self._forced, _MAX_FORCED))
        are_allowed, places = self._next
        return places.tolist() if are_allowed and len(places) == 1 else []

    @contains_panics
    def reset(self) -> None:
        """Begin anew."""
        self._join()
        self._matcher.reset()
        self._next = self._forced = None

    def prepare(self) -> None:
        """Work out what `forbid` will need; failures come to light there."""
        if self._next is None:
            self._find_next()

    def wait_for(self, preparing: Future[None]) -> None:
        """Let all methods wait for this, which calls `prepare`."""
        self._preparing = preparing

    def _find_next(self) -> tuple[bool, NDArray[np.int32]]:
        started = time.thread_time()
        self._matcher.unsafe_compute_mask_ptr(self._address, self._words.nbytes)
        self._cpu_budget.spend(started)
        self._next = self._places.of(self._words)
        return self._next

    def _join(self) -> None:
        if self._preparing is not None:
            preparing, self._preparing = self._preparing, None
            preparing.result()

    def _check(self) -> None:
        if self._matcher.is_error():
            self._on_fault()
            raise ConstraintError(in_words(self._matcher.get_error()))

    @staticmethod
    def _begin_token(budget: CpuBudget) -> None:
        try:
            budget.begin_token()
        except TooCostlyError as error:
            raise ConstraintError(str(error)) from error


class MaskFactory:
    """Makes masks for one model; any thread may ask, and is kept waiting while another's are made.

    The vocabulary is read by `read_ahead`, or by the first who needs it: half a second for 150,000 tokens, in
    which this process does little else, and 60 MB. A constraint seen before takes no time.
    """

    def __init__(self, vocab_size: int, tokens: TokenTable) -> None:
        self._vocab_size = vocab_size
        self._tokens = tokens
        self._vocabulary: GrammarVocab | None = None
        self._places = MaskPlaces(vocab_size)
        self._kept: OrderedDict[str, LLMatcher] = OrderedDict()
        self._spent: set[str] = set()
        self._stack = DeepStack()
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._reader = threading.Thread(target=self._read_quietly, name="vocabulary", daemon=True)

    def read_ahead(self) -> None:
        """Begin to read the vocabulary, beside whatever comes next until `wait`."""
        # Without memory for a thread, the first who needs it reads it.
        with contextlib.suppress(RuntimeError):
            self._reader.start()

    def wait(self) -> None:
        """Wait until what `read_ahead` has begun is done."""
        if self._reader.ident is not None:
            self._reader.join()

    @property
    @contains_panics
    def space_ids(self) -> NDArray[np.int32]:
        """Tokens of nothing but white space, ascending."""
        return self._read().space_ids

    @contains_panics
    def make(self, constraint: Constraint, count: int) -> list[TokenMask]:
        """Make a mask for each of `count` sequences; raises ConstraintError if no text can satisfy it."""
        with self._lock:
            matcher = self._matcher(constraint.grammar)
        # Copies share their lexer; where one has come to its limits, the next request begins with another.
        forget = partial(self._spent.add, constraint.grammar)
        return [TokenMask(matcher.deep_copy(), self._vocab_size, self._places, forget) for _ in range(count)]

    def _matcher(self, grammar: str) -> LLMatcher:
        matcher = self._kept.get(grammar)
        if matcher is None or grammar in self._spent:
            self._spent.discard(grammar)
            if not has_memory(_COMPILER_BYTES):
                raise MemoryError("no memory to prepare a constraint")
            matcher = self._stack.call(lambda: self._compile(grammar), RECURSION)
            self._kept[grammar] = matcher
            if len(self._kept) > _NUM_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(grammar)
        return matcher

    def _compile(self, grammar: str) -> LLMatcher:
        matcher = LLMatcher(self._read().tokenizer, grammar, log_level=0, limits=LIMITS)
        # Copies inherit what the first mask has cost to find out.
        matcher.compute_bitmask()
        if matcher.is_error():
            raise ConstraintError(f"it fails for this model: {in_words(matcher.get_error())}")
        return matcher

    def _read(self) -> GrammarVocab:
        with self._reading:
            if self._vocabulary is None:
                self._vocabulary = GrammarVocab(self._vocab_size, self._tokens)
            return self._vocabulary

    def _read_quietly(self) -> None:
        """Read the vocabulary; what is wrong with it is told to whoever needs it."""
        with contextlib.suppress(Exception):
            contains_panics(self._read)()
