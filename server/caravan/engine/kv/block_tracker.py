"""The books of whole blocks: which of them some sequence holds, in the cells or in the host cache.

Rule kept: what the events have told is what a scan over both trees would find.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from caravan.engine.block_events import (
    AllBlocksCleared,
    Block,
    BlockEvent,
    BlocksRemoved,
    block_hash,
    stored,
)
from caravan.engine.kv.radix_tree import RadixTree


@dataclass(slots=True)
class _Chain:
    """A sequence: the hashes of its whole blocks, and the keys behind them."""

    hashes: list[int] = field(default_factory=list)
    rest: list[int] = field(default_factory=list)


class BlockTracker:
    """Counts for each block the sequences that hold it, of all trees that it watches.

    A block is there as long as anybody holds it; one in the host cache is, because bringing it back costs
    little beside computing it. What comes and goes between two `take`s is not told at all.
    """

    def __init__(self, root: bytes, block_size: int) -> None:
        self._root = root
        self._block_size = block_size
        self._blocks: dict[int, Block] = {}
        self._num_holders: dict[int, int] = {}
        # What was told, with the depth of each; and what has changed since, parents before children.
        self._told: dict[int, int] = {}
        self._touched: dict[int, None] = {}
        self._is_new = True

    def watch(self, tree: RadixTree) -> None:
        """Count what is in a tree, and follow it from here on."""
        observer = TreeBlocks(self)
        for seq_id in tree.seq_ids:
            observer.extended(seq_id, tree.tokens(seq_id))
        tree.observer = observer

    def take(self) -> tuple[BlockEvent, ...]:
        """Tell what has changed since the last time; the first time, that it begins, and all there is."""
        if not (self._touched or self._is_new):
            return ()
        touched, self._touched = self._touched, {}
        gone = [name for name in touched if name in self._told and name not in self._blocks]
        events: list[BlockEvent] = []
        if self._is_new or (gone and len(gone) == len(self._told)):
            events.append(AllBlocksCleared())
            self._is_new = False
        elif gone:
            events.append(BlocksRemoved(tuple(sorted(gone, key=self._told.__getitem__, reverse=True))))
        for name in gone:
            del self._told[name]
        new = [name for name in touched if name in self._blocks and name not in self._told]
        for name in new:
            self._told[name] = self._blocks[name].depth
        events += stored((name, self._blocks[name]) for name in new)
        return tuple(events)

    def complete(self, chain: _Chain) -> None:
        """Turn what is behind the whole blocks of a sequence into blocks, as far as it goes."""
        size = self._block_size
        while len(chain.rest) >= size:
            parent = chain.hashes[-1] if chain.hashes else None
            keys = tuple(chain.rest[:size])
            del chain.rest[:size]
            name = block_hash(keys, parent, self._root)
            if name not in self._blocks:
                self._blocks[name] = Block(keys, parent, len(chain.hashes))
                self._touched[name] = None
            self._num_holders[name] = self._num_holders.get(name, 0) + 1
            chain.hashes.append(name)

    def fork(self, source: _Chain, length: int) -> _Chain:
        """Make a holder of the first `length` tokens of another."""
        chain = self._cut(source, length)
        for name in chain.hashes:
            self._num_holders[name] += 1
        return chain

    def truncate(self, chain: _Chain, length: int) -> _Chain:
        """Let go of what is behind the first `length` tokens."""
        kept = self._cut(chain, length)
        self.release(chain.hashes[len(kept.hashes) :])
        return kept

    def release(self, hashes: Iterable[int]) -> None:
        """Count a holder less of each."""
        for name in hashes:
            self._num_holders[name] -= 1
            if not self._num_holders[name]:
                del self._num_holders[name], self._blocks[name]
                self._touched[name] = None

    def _cut(self, chain: _Chain, length: int) -> _Chain:
        count, rest = divmod(length, self._block_size)
        keys = self._blocks[chain.hashes[count]].keys if count < len(chain.hashes) else chain.rest
        return _Chain(chain.hashes[:count], list(keys[:rest]))


class TreeBlocks:
    """What a tracker hears of one tree (`TreeObserver`)."""

    def __init__(self, tracker: BlockTracker) -> None:
        self._tracker = tracker
        self._chains: dict[int, _Chain] = {}

    def extended(self, seq_id: int, keys: list[int]) -> None:
        """A sequence has grown."""
        chain = self._chains.setdefault(seq_id, _Chain())
        chain.rest += keys
        self._tracker.complete(chain)

    def forked(self, source: int, target: int, length: int) -> None:
        """A sequence has begun with a part of another, which has tokens if it is in the books."""
        if source in self._chains:
            self._chains[target] = self._tracker.fork(self._chains[source], length)

    def truncated(self, seq_id: int, length: int) -> None:
        """A sequence was cut."""
        if seq_id in self._chains:
            self._chains[seq_id] = self._tracker.truncate(self._chains[seq_id], length)

    def removed(self, seq_id: int) -> None:
        """A sequence is gone."""
        if (chain := self._chains.pop(seq_id, None)) is not None:
            self._tracker.release(chain.hashes)

    def cleared(self) -> None:
        """All sequences are gone."""
        for seq_id in list(self._chains):
            self.removed(seq_id)


class Watch(NamedTuple):
    """Who is told of blocks of this size, in chains that begin with `root`."""

    root: bytes
    block_size: int
    tell: Callable[[tuple[BlockEvent, ...]], None]


class BlockWatch:
    """Tells of the blocks of some trees while anybody wants to know; otherwise it costs nothing."""

    def __init__(self, trees: tuple[RadixTree, ...]) -> None:
        self._trees = trees
        self._tell: Callable[[], None] | None = None

    def turn(self, watch: Watch | None) -> None:
        """Tell `watch` of all blocks at the next `flush`, then of what has changed; None: nobody."""
        if watch is None:
            for tree in self._trees:
                tree.observer = None
            self._tell = None
            return
        tracker = BlockTracker(watch.root, watch.block_size)
        for tree in self._trees:
            tracker.watch(tree)
        self._tell = partial(_tell, tracker, watch)

    def flush(self) -> None:
        """Tell what has changed since the last time."""
        if self._tell is not None:
            self._tell()


def _tell(tracker: BlockTracker, watch: Watch) -> None:
    if events := tracker.take():
        watch.tell(events)
