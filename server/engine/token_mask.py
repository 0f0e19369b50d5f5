"""Constraints at work: which tokens may come next, for one sequence of one model."""

import logging
import threading
from collections import OrderedDict

import numpy as np
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper
from numpy.typing import NDArray

from server.engine.grammar import LIMITS, RECURSION
from server.engine.params import Constraint
from server.engine.ports import TokenTable
from server.llama.deep_stack import DeepStack

log = logging.getLogger(__name__)

# Compiled constraints that are kept for the next request with the same.
_NUM_KEPT = 64
# Tokens without text need some, or they may come wherever a grammar names any token at all.
_NO_TEXT = b"<no text>"
# Masks that are kept as token ids, each of at most twice as many bytes as there are tokens.
_NUM_KEPT_MASKS = 128


class ConstraintError(Exception):
    """No text that satisfies the constraint can follow; the sequence has to end."""


class TokenMask:
    """The state of one sequence's constraint. Start from `MaskFactory.make`."""

    def __init__(self, matcher: LLMatcher, vocab_size: int, places: "_Places") -> None:
        self._matcher = matcher
        self._places = places
        self._words = np.zeros((vocab_size + 31) // 32, np.uint32)
        # Asked for once: it is slow as NumPy goes.
        self._address = self._words.ctypes.data

    @property
    def is_complete(self) -> bool:
        """Whether the constraint is satisfied and nothing can be added."""
        return self._matcher.is_stopped() and not self._matcher.is_error()

    def forbid(self, logits: NDArray[np.float32]) -> NDArray[np.int32] | None:
        """Set the logits [vocab_size] of all tokens that may not come next to minus infinity.

        Returns the ids of those that may, ascending, if they are the smaller part. End-of-generation tokens
        may come where the constraint is satisfied. Raises ConstraintError at a dead end.
        """
        self._matcher.unsafe_compute_mask_ptr(self._address, self._words.nbytes)
        self._check()
        are_allowed, places = self._places.of(self._words)
        if are_allowed:
            kept = logits[places]
            logits.fill(-np.inf)
            logits[places] = kept
            return places
        logits[places] = -np.inf
        return None

    def accept(self, token_id: int) -> None:
        """Note a drawn token; raises ConstraintError if it may not come."""
        self._matcher.consume_token(token_id)
        self._check()

    def admits(self, token_id: int) -> bool:
        """Whether a token may come next, told without working out all others; if so, it is noted."""
        return self._matcher.try_consume_tokens([token_id]) == 1

    def _check(self) -> None:
        if self._matcher.is_error():
            reason = self._matcher.get_error().split("\n", 1)[0]
            raise ConstraintError(f"the constraint has come to a dead end: {reason}")


class _Places:
    """Masks as token ids, which NumPy is quick with; few masks come most of the time, and those are kept.

    Belongs to the engine's thread.
    """

    def __init__(self, vocab_size: int) -> None:
        self._vocab_size = vocab_size
        self._kept: OrderedDict[bytes, tuple[bool, NDArray[np.int32]]] = OrderedDict()

    def of(self, words: NDArray[np.uint32]) -> tuple[bool, NDArray[np.int32]]:
        """The ids of the tokens that a mask allows (True) or forbids (False), whichever are fewer."""
        key = words.tobytes()
        found = self._kept.get(key)
        if found is None:
            found = self._found(words)
            self._kept[key] = found
            if len(self._kept) > _NUM_KEPT_MASKS:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(key)
        return found

    def _found(self, words: NDArray[np.uint32]) -> tuple[bool, NDArray[np.int32]]:
        bits = np.unpackbits(words.view(np.uint8), count=self._vocab_size, bitorder="little").view(np.bool_)
        are_fewer = 2 * np.count_nonzero(bits) <= self._vocab_size
        return bool(are_fewer), np.flatnonzero(bits if are_fewer else ~bits).astype(np.int32)


class MaskFactory:
    """Makes masks for one model; any thread may ask, and is kept waiting while another's are made.

    The first call reads the vocabulary, about a second for 150,000 tokens, in which running streams stutter:
    done at start, it would cost those too who never ask for a constraint. One seen before takes no time.
    """

    def __init__(self, vocab_size: int, tokens: TokenTable) -> None:
        self._vocab_size = vocab_size
        self._tokens = tokens
        self._tokenizer: LLTokenizer | None = None
        self._places = _Places(vocab_size)
        self._kept: OrderedDict[str, LLMatcher] = OrderedDict()
        self._stack = DeepStack()
        self._lock = threading.Lock()

    def make(self, constraint: Constraint, count: int) -> list[TokenMask]:
        """A mask for each of `count` sequences; raises ConstraintError if the model cannot satisfy it."""
        with self._lock:
            matcher = self._matcher(constraint.grammar)
        return [TokenMask(matcher.deep_copy(), self._vocab_size, self._places) for _ in range(count)]

    def _matcher(self, grammar: str) -> LLMatcher:
        matcher = self._kept.get(grammar)
        if matcher is None:
            matcher = self._stack.call(lambda: self._compile(grammar), RECURSION)
            self._kept[grammar] = matcher
            if len(self._kept) > _NUM_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(grammar)
        return matcher

    def _compile(self, grammar: str) -> LLMatcher:
        if self._tokenizer is None:
            self._tokenizer = _tokenizer(self._vocab_size, self._tokens)
        matcher = LLMatcher(self._tokenizer, grammar, log_level=0, limits=LIMITS)
        # Copies inherit what the first mask has cost to find out.
        matcher.compute_bitmask()
        if matcher.is_error():
            raise ConstraintError(f"the constraint fails for this model: {matcher.get_error()}")
        return matcher


class _Vocabulary(TokenizerWrapper):
    """What LLTokenizer reads of a vocabulary: the bytes of every token, and which stand for no text.

    Markers never come in constrained text: whoever reads it would take them for more than text.
    """

    is_tokenizer_wrapper = True
    bos_token_id = None

    def __init__(self, vocab_size: int, tokens: TokenTable) -> None:
        table = [tokens.token_bytes(token_id) for token_id in range(vocab_size)]
        self.tokens = [text or _NO_TEXT for text in table]
        self.special_token_ids = [i for i, text in enumerate(table) if not text or i in tokens.marker_ids]
        self.eos_token_id = min(tokens.end_of_generation_ids)

    def __call__(self, text: str) -> list[int]:
        raise NotImplementedError("constraints never force text")


def _tokenizer(vocab_size: int, tokens: TokenTable) -> LLTokenizer:
    vocabulary = _Vocabulary(vocab_size, tokens)
    return LLTokenizer(vocabulary, eos_token=sorted(tokens.end_of_generation_ids))
