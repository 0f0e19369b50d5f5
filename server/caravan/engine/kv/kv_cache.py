"""The memory of sequences: who has which id, which prefix can be reused, who goes first when room is short.

What is public of a sequence may be shared with all others, the rest within its `CacheScope`.
Rule kept: the tree and llama.cpp's cells change together, so that `num_cells_used` is what is really in use.
"""

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace

from caravan.engine.interfaces import DecodingContext
from caravan.engine.kv.allocation import Allocation
from caravan.engine.kv.audit import faults_of
from caravan.engine.kv.checkpoints import Checkpoints
from caravan.engine.kv.host_cache import HostKVCache, OffloadedSequence, Usage, owner_of_most
from caravan.engine.kv.radix_tree import CacheScope, Match, RadixTree
from caravan.engine.kv.reuse import Reuse
from caravan.engine.kv.sequence_copies import RestingSequence, SequenceCopies
from caravan.engine.kv.windows import Windows

# An idle sequence is offloaded after this many steps of others: the next turn of a chat may come at once.
_LINGER_STEPS = 8


class KVCache:
    """Sequence ids and cells of one context.

    An id is free, active (a running sequence has it) or idle: its content can still be matched, and it is
    evicted when an id or cells are needed.

    Attention on a processor pays for idle cells in every step. So sequences that stay idle beside running
    ones are offloaded, as evicted and preempted ones are, up to `num_host_cache_tokens` (None: as many as
    there are cells), in pieces of `piece_size`; a prompt that begins like one fetches it, and computes less.

    Where memory cannot be cut, `checkpoints` of up to `checkpoint_bytes` let others begin with a part of a
    sequence. They are taken after tokens of `end_ids`, which end turns, and elsewhere.
    """

    def __init__(
        self,
        context: DecodingContext,
        num_host_cache_tokens: int | None = 0,
        piece_size: int = 0,
        checkpoint_bytes: int | None = 0,
        end_ids: Collection[int] = (),
    ) -> None:
        self._context = context
        self._copies = SequenceCopies(context, piece_size)
        capacity = context.num_cells if num_host_cache_tokens is None else num_host_cache_tokens
        self._host_cache = HostKVCache(capacity if context.can_offload else 0, can_cut=context.can_cut)
        self._num_steps = 0
        self._idle_since: dict[int, int] = {}
        self._tree = RadixTree()
        self.checkpoints = Checkpoints(context, self._tree, checkpoint_bytes, end_ids)
        self._reuse = Reuse(context, self._tree, self.checkpoints)
        self.windows = Windows(context, self._tree)
        self.trees = (self._tree, self._host_cache.tree)
        self._free = list(range(context.max_sequences - 1, -1, -1))
        self._active: dict[int, CacheScope] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()
        self._usages: dict[int, Usage] = {}
        self.num_evictions = 0

    @property
    def num_cells_used(self) -> int:
        """Cells that hold some sequence, active or idle."""
        return self._tree.num_cells

    @property
    def num_idle(self) -> int:
        """Sequences kept only to be matched."""
        return len(self._idle)

    @property
    def num_offloaded_tokens(self) -> int:
        """Tokens of sequences that are kept outside of the cells."""
        return self._host_cache.num_tokens

    @property
    def shares_prefixes(self) -> bool:
        """Whether any prefix of a sequence can be shared, and not only the whole of it."""
        return self._context.can_cut or self.checkpoints.are_kept

    def num_free_cells(self) -> int:
        """Count the cells that hold nothing."""
        return self._context.num_cells - self._tree.num_cells

    def num_spare_cells(self, holding: Collection[int] | None = None) -> int:
        """Count the cells that hold nothing or only idle sequences; or those beside what `holding` have."""
        return self._context.num_cells - self._tree.num_cells_of(self._active if holding is None else holding)

    def num_new_cells(self, token_ids: list[int], scope: CacheScope) -> int:
        """Count the spare cells that a newcomer takes: its tokens but those shared with active sequences."""
        match = self.match(token_ids[:-1], scope)
        shared = match.length if any(i in self._active for i in match.seq_ids) else 0
        return len(token_ids) - shared

    def match(self, token_ids: list[int], scope: CacheScope) -> Match:
        """Find the longest reusable prefix of `token_ids`; changes nothing."""
        return self._reuse.match(scope.keys(token_ids))

    def num_known(self, token_ids: list[int], scope: CacheScope) -> int:
        """Count the tokens of a prompt that need not be computed: in cells, or to be brought there."""
        known = scope.keys(token_ids[:-1])
        copied = self._reuse.match_copies(self._host_cache.tree, known)
        return max(self._reuse.match(known).length, copied.length)

    def allocate(self, token_ids: list[int], scope: CacheScope, owner: str = "") -> Allocation | None:
        """Give a newcomer an id and as much of its prompt as is in memory, but for the last token: there must
        be one to compute, to have logits. None when every id is active.
        """
        keys = scope.keys(token_ids[:-1])
        match = in_cells = self._reuse.match(keys)
        if self._fetch(keys, match.length):
            match = self._reuse.match(keys)
        if (allocation := self._allocate(keys[: match.length], match, scope)) is None:
            return None
        self._usages[allocation.seq_id] = Usage(owner, allocation.num_cached_tokens, scope.name)
        self.checkpoints.begin(allocation.seq_id, token_ids, keys, allocation.num_cached_tokens)
        return replace(allocation, num_fetched_tokens=match.length - in_cells.length)

    def _allocate(self, known: list[int], match: Match, scope: CacheScope) -> Allocation | None:
        source = self._reuse.source_of(match, self._idle)
        if source is not None and source in self._idle and self._tree.length(source) == match.length:
            return self._adopt(source, known, scope)
        while not self._free or (known and not self.windows.fit_beside(len(known))):
            if not self.evict_one(keep=source):
                if source is not None and source in self._idle and self.shares_prefixes:
                    return self._adopt(source, known, scope)
                if not self._free:
                    return None
                source, known = None, []
        seq_id = self._free.pop()
        self._active[seq_id] = scope
        if known and not self._reuse.begin(seq_id, source, known):
            source, known = None, []
        if source is None:
            self._tree.insert(seq_id)
            self._tree.extend(seq_id, known)
        else:
            self._tree.fork(source, seq_id, len(known))
            self._touch(source)
        return Allocation(seq_id, len(known))

    def commit(self, seq_id: int, token_ids: list[int]) -> None:
        """Note tokens that a decode has computed for an active sequence."""
        self._tree.extend(seq_id, self._active[seq_id].keys(token_ids, self._tree.length(seq_id)))
        self.checkpoints.reach(seq_id)

    def restart(self, seq_id: int) -> None:
        """Forget all that an active sequence has."""
        self._context.remove_sequence(seq_id)
        self._tree.truncate(seq_id, 0)

    def cut(self, seq_id: int) -> None:
        """Free what a decode has put behind the noted tokens of a sequence; only where memory can be cut."""
        if seq_id in self._active or seq_id in self._idle:
            self._context.truncate_sequence(seq_id, self._tree.length(seq_id))

    def retire(self, seq_id: int, num_spent: int = 0) -> None:
        """Make a sequence idle, the last to be evicted; forget it, with fewer than so many own cells."""
        self._stop(seq_id)
        if self._tree.length(seq_id) == 0 or self._tree.num_own_cells(seq_id) < num_spent:
            self._forget(seq_id)

    def discard(self, seq_id: int) -> None:
        """Its owner gives its memory up: the id and the cells are free at once."""
        self._stop(seq_id)
        self._offload(seq_id)

    def offload_idle(self) -> None:
        """Note a step with running sequences; offload one that has been idle beside them for a while."""
        self._num_steps += 1
        for seq_id in self._idle:
            if self._num_steps - self._idle_since[seq_id] < _LINGER_STEPS:
                return
            if self._is_worth_offloading(seq_id):
                self._offload(seq_id)
                return

    def evict_one(self, keep: int | None = None) -> bool:
        """Offload or forget an idle sequence other than `keep`: the one used least recently of the owner who
        has the most idle tokens. False if there is none.
        """
        idle = {seq_id: self._usages[seq_id].owner for seq_id in self._idle if seq_id != keep}
        if idle:
            most = owner_of_most((owner, self._tree.length(seq_id)) for seq_id, owner in idle.items())
            self._offload(next(seq_id for seq_id, owner in idle.items() if owner == most))
            self.num_evictions += 1
        return bool(idle)

    def clear(self) -> None:
        """Forget everything, in the context too; no sequence may be active."""
        if self._active:
            raise RuntimeError(f"sequences {sorted(self._active)} are active")
        self._context.clear()
        self._tree.clear()
        self._free = list(range(self._context.max_sequences - 1, -1, -1))
        self._idle.clear()
        self._usages.clear()
        self._host_cache.clear()
        self.checkpoints.clear()

    def forget(self, is_unwanted: Callable[[str], bool]) -> None:
        """Forget what is idle of the scopes of such names, and checkpoints of all that are of nobody's."""
        for seq_id in [i for i in self._idle if is_unwanted(self._usages[i].scope)]:
            self._forget(seq_id)
        self._host_cache.forget(is_unwanted)
        self.checkpoints.forget_passing()

    def resting(self) -> Iterator[RestingSequence]:
        """Yield what is kept to be matched, in cells and outside of them, what was used last first."""
        for seq_id in reversed(self._idle):
            yield self._copies.in_cells(seq_id, self._tree.tokens(seq_id), self._usages[seq_id])
        yield from map(self._copies.in_copy, self._host_cache.latest_first())

    def audit(self) -> list[str]:
        """List what is wrong with ids and cells; empty when they add up."""
        return faults_of(self._tree, [*self._active, *self._idle], self._free, self._context)

    def _adopt(self, seq_id: int, known: list[int], scope: CacheScope) -> Allocation:
        del self._idle[seq_id]
        self._active[seq_id] = scope
        length = len(known) if self._reuse.take_over(seq_id, known) else 0
        if self._tree.length(seq_id) > length:
            self._tree.truncate(seq_id, length)
        return Allocation(seq_id, length)

    def _fetch(self, keys: list[int], num_in_cells: int) -> bool:
        """Make the offloaded sequence that begins most like a prompt an idle one again, if that is worth it.

        What it shares with sequences in cells, it shares with them afterwards, where memory can be cut.
        """
        match = self._reuse.match_copies(self._host_cache.tree, keys)
        name = min(match.seq_ids, key=self._host_cache.length, default=None)
        if name is None or not self._host_cache.is_worth_fetching(name, match.length - num_in_cells):
            return False
        offloaded = self._host_cache.restore(name)
        if not self._make_room(len(offloaded.keys)):
            self._host_cache.offload(offloaded)
            return False
        seq_id = self._free.pop()
        if not self._copies.restore(seq_id, len(offloaded.keys), offloaded.copy):
            self._free.append(seq_id)
            return False
        shared = self._reuse.held(offloaded.keys)
        if shared.length and self._context.can_cut:
            source = min(shared.seq_ids)
            self._context.share_prefix(source, seq_id, shared.length)
            self._tree.fork(source, seq_id, shared.length)
        else:
            self._tree.insert(seq_id)
        self._tree.extend(seq_id, offloaded.keys[self._tree.length(seq_id) :])
        self._usages[seq_id] = offloaded.usage
        self._rest(seq_id)
        return True

    def _make_room(self, num_cells: int) -> bool:
        """Have an id and so many cells free, at the cost of idle sequences."""
        if num_cells > self.num_spare_cells():
            return False
        while not self._free or self.num_free_cells() < num_cells:
            if not self.evict_one():
                return False
        return True

    def _is_worth_offloading(self, seq_id: int) -> bool:
        return self._host_cache.takes(self._tree.length(seq_id), self._tree.num_own_cells(seq_id))

    def _offload(self, seq_id: int) -> None:
        """Free the id and the cells of an idle sequence, and keep its content if it is worth that."""
        if self._is_worth_offloading(seq_id):
            keys = self._tree.tokens(seq_id)
            # Where there is no memory for a copy, the prompt is computed anew.
            with contextlib.suppress(MemoryError):
                if self._host_cache.needs(keys):
                    copy, weight = self._copies.save(seq_id, len(keys)), self._copies.weight
                    usage = self._usages[seq_id]
                    self._host_cache.offload(OffloadedSequence(keys, copy, usage, weight(seq_id, copy)))
        self.checkpoints.park(seq_id)
        self._forget(seq_id)

    def _stop(self, seq_id: int) -> None:
        """Make an active sequence idle."""
        del self._active[seq_id]
        self.checkpoints.end(seq_id)
        self._rest(seq_id)

    def _rest(self, seq_id: int) -> None:
        self._idle[seq_id] = None
        self._idle_since[seq_id] = self._num_steps

    def _touch(self, seq_id: int) -> None:
        if seq_id in self._idle:
            self._idle.move_to_end(seq_id)
            self._idle_since[seq_id] = self._num_steps

    def _forget(self, seq_id: int) -> None:
        del self._idle[seq_id], self._usages[seq_id]
        self._context.remove_sequence(seq_id)
        self._tree.remove(seq_id)
        self._free.append(seq_id)
