"""Checkpoints of sequences in cells: where they stop for them, and what is kept (`CheckpointStore`).

Without them, a memory that cannot be cut serves only those who go on from a sequence's very end. They are
taken at the ends of a prompt's turns, where a second visitor goes another way, and at the end of what an
answer is gone on from.
"""

import contextlib
import sys
from collections.abc import Collection

from caravan.engine.interfaces import DecodingContext
from caravan.engine.kv.checkpoint_places import LEAST_TOKENS, media_ends, turn_ends
from caravan.engine.kv.checkpoint_store import CheckpointStore
from caravan.engine.kv.radix_tree import RadixTree, num_lasting
from caravan.engine.media.keys import num_whole
from caravan.llama.context import State

# Where nobody has looked how much memory there is.
_USUAL_CAPACITY = 64 << 20


class Checkpoints:
    """Does nothing where memory can be cut, or `capacity`, in bytes, is too small for a single one."""

    def __init__(
        self, context: DecodingContext, tree: RadixTree, capacity: int | None, end_ids: Collection[int]
    ) -> None:
        capacity = _USUAL_CAPACITY if capacity is None else capacity
        self._partial = context.partial
        self._tree = tree
        self._end_ids = end_ids
        self._store = CheckpointStore(capacity)
        self._stops: dict[int, set[int]] = {}
        self.are_kept = self._partial is not None and capacity > 0
        self.num_used = 0

    @property
    def num_kept(self) -> int:
        """How many there are."""
        return len(self._store)

    @property
    def num_bytes(self) -> int:
        """Their bytes together."""
        return self._store.num_bytes

    def longest(self, keys: list[int]) -> int:
        """Tell how many of these tokens the longest checkpoint has that begins like them; 0 without any."""
        return self._store.longest(keys)

    def use(self, keys: list[int]) -> State | None:
        """Return the checkpoint after exactly these tokens, for somebody who begins there."""
        state = self._store.find(keys)
        self.num_used += state is not None
        return state

    def begin(self, seq_id: int, token_ids: list[int], keys: list[int], num_cached: int) -> None:
        """Choose where a newcomer stops that goes on after `num_cached` tokens of its prompt.

        With more of them it agrees with another that cannot help it: a third will be helped there.
        """
        if self.are_kept:
            num_agreed = num_whole(keys, self._tree.match(keys).length)
            stops = {*turn_ends(token_ids, self._end_ids, num_cached), *media_ends(token_ids, num_cached)}
            if num_agreed - num_cached >= LEAST_TOKENS:
                stops.add(num_agreed)
            self._stops[seq_id] = stops

    def stop_at(self, seq_id: int | None, place: int) -> None:
        """Have a running sequence stop after so many tokens, too, where another goes another way."""
        if seq_id in self._stops:
            self._stops[seq_id].add(place)

    def num_until_stop(self, seq_id: int | None, num_computed: int) -> int:
        """Count the tokens that a sequence computes before it stops."""
        stops = self._stops.get(seq_id, ()) if seq_id is not None else ()
        ahead = (stop for stop in stops if stop > num_computed)
        return min(ahead, default=sys.maxsize) - num_computed

    def reach(self, seq_id: int) -> None:
        """Take a checkpoint if a sequence has come to where it stops."""
        stops = self._stops.get(seq_id)
        if stops and (place := self._tree.length(seq_id)) in stops:
            stops.remove(place)
            self.take(seq_id)

    def take(self, seq_id: int) -> None:
        """Take a checkpoint of all that a sequence has, unless there is one, or it ends in an image."""
        if self._partial is None or not self.are_kept:
            return
        keys = self._tree.tokens(seq_id)
        if num_whole(keys, len(keys)) < len(keys) or self._store.find(keys) is not None:
            return
        # Where there is no memory for it, others compute the prompt anew.
        with contextlib.suppress(MemoryError):
            self.are_kept = self._store.keep(keys, self._partial.save(seq_id))

    def park(self, seq_id: int) -> None:
        """Keep a sequence that is about to be forgotten, where a checkpoint is all there is of it."""
        if self._partial is not None and self._partial.is_all and self._tree.length(seq_id):
            self.take(seq_id)

    def end(self, seq_id: int) -> None:
        """Forget where a sequence was to stop."""
        self._stops.pop(seq_id, None)

    def forget_passing(self) -> None:
        """Forget those of texts with adapters, images, or what is one request's alone."""
        self._store.forget(lambda keys: num_lasting(keys, with_private=True) < len(keys))

    def clear(self) -> None:
        """Forget everything."""
        self._store.clear()
        self._stops.clear()
