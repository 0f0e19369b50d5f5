"""Which sequences share which cells: a radix tree that mirrors the KV memory exactly.

Knows integers only: numbers of sequences, and keys of tokens, which tell apart what may not be shared
(`CacheScope`). A node is a run of cells, held by every sequence whose path leads through it. Two
sequences that computed the same tokens separately hold separate cells, hence two branches.
"""

import functools
import hashlib
import itertools
import sys
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Protocol

from caravan.engine.kv.radix_node import (
    Node,
    beyond,
    merge_with_only_child,
    path_of,
    split,
    walk,
)
from caravan.engine.media.keys import is_media
from caravan.engine.params import ONCE

# Above all token ids, which are 32-bit numbers, and below what tells cells of images from tokens. The lowest
# bit of a mark tells scopes of one request.
_MARK_SHIFT = 32
_MARK_MASK = (1 << 128) - 1
_ONCE_BIT = 1 << _MARK_SHIFT
_TOKEN_MASK = (1 << _MARK_SHIFT) - 1


@dataclass(frozen=True, slots=True)
class CacheScope:
    """The first `num_public` tokens of a sequence may be shared with any other, the rest with equal salts.

    Without a `name` all of it is public; with one that begins with ONCE, the rest is one request's own. With
    a `base`, the first `num_public` are not public but of that scope, whose own are fewer.
    """

    name: str = ""
    num_public: int = 0
    base: "CacheScope | None" = None

    def keys(self, token_ids: list[int], first: int = 0) -> list[int]:
        """Mark the first token that is not public by whose it is: from there on no other's keys agree.

        `first` is the position of the first token.
        """
        if self.base is not None:
            token_ids = self.base.keys(token_ids, first)
        position = self.num_public - first
        if not self.name or not 0 <= position < len(token_ids):
            return token_ids
        keys = list(token_ids)
        keys[position] |= _mark(self.name)
        return keys

    def readable(self, keys: list[int], first: int) -> list[int]:
        """Tell the tokens of another sequence's keys from position `first` on, where all before agree: as far
        as they are for this scope, and no image comes.
        """
        token_ids = []
        for position, key in enumerate(keys, first):
            token_id = token_of(key)
            if key != self.keys([token_id], position)[0]:
                break
            token_ids.append(token_id)
        return token_ids

    def num_shareable(self, other: "CacheScope") -> int:
        """Count the tokens that, at most, two sequences of these salts can share."""
        if self == other:
            return sys.maxsize
        if self.base is not None:
            return min(self.num_public, self.base.num_shareable(other))
        if other.base is not None:
            return other.num_shareable(self)
        return min(scope.num_public if scope.name else sys.maxsize for scope in (self, other))


@dataclass(frozen=True, slots=True)
class Match:
    """A prefix of `length` tokens is in the cells of each of `seq_ids`."""

    length: int
    seq_ids: frozenset[int]


class TreeObserver(Protocol):
    """Who is told of what happens to the sequences of a tree."""

    def extended(self, seq_id: int, keys: list[int]) -> None: ...
    def forked(self, source: int, target: int, length: int) -> None: ...
    def truncated(self, seq_id: int, length: int) -> None: ...
    def removed(self, seq_id: int) -> None: ...
    def cleared(self) -> None: ...


class RadixTree:
    """Sequences by number, each a list of tokens; `num_cells` is the number of cells they occupy together."""

    def __init__(self) -> None:
        self._root = Node(0, [], None)
        self._tails: dict[int, Node] = {}
        self.num_cells = 0
        self.observer: TreeObserver | None = None

    @property
    def seq_ids(self) -> frozenset[int]:
        """All sequences in the tree, empty ones included."""
        return frozenset(self._tails)

    def insert(self, seq_id: int) -> None:
        """Start an empty sequence."""
        if seq_id in self._tails:
            raise ValueError(f"sequence {seq_id} is in the tree already")
        self._root.holders.add(seq_id)
        self._tails[seq_id] = self._root

    def fork(self, source: int, target: int, length: int) -> None:
        """Start `target` as a sharer of the first `length` cells of `source`."""
        if target in self._tails or not 0 <= length <= self.length(source):
            raise ValueError(f"cannot fork {length} tokens of sequence {source} into {target}")
        node = self._node_ending_at(source, length)
        self._tails[target] = node
        for ancestor in path_of(node):
            ancestor.holders.add(target)
        if self.observer is not None:
            self.observer.forked(source, target, length)

    def extend(self, seq_id: int, token_ids: list[int]) -> None:
        """Append newly computed cells to a sequence; constant time per token."""
        if not token_ids:
            return
        if self.observer is not None:
            self.observer.extended(seq_id, token_ids)
        tail = self._tails[seq_id]
        self.num_cells += len(token_ids)
        if tail.parent is not None and len(tail.holders) == 1 and not tail.children:
            tail.tokens.extend(token_ids)
            return
        node = Node(tail.end, list(token_ids), tail, {seq_id})
        tail.attach(node)
        self._tails[seq_id] = node

    def truncate(self, seq_id: int, length: int) -> None:
        """Keep only the first `length` tokens of a sequence."""
        if not 0 <= length <= self.length(seq_id):
            raise ValueError(f"sequence {seq_id} has no prefix of {length} tokens")
        node = self._node_ending_at(seq_id, length)
        self._release(seq_id, self._tails[seq_id], stop=node)
        self._tails[seq_id] = node
        if self.observer is not None:
            self.observer.truncated(seq_id, length)

    def remove(self, seq_id: int) -> None:
        """Forget a sequence; cells that nobody else holds are free again."""
        tail = self._tails.pop(seq_id)
        self._release(seq_id, tail, stop=None)
        if self.observer is not None:
            self.observer.removed(seq_id)

    def length(self, seq_id: int) -> int:
        """Count the tokens of a sequence."""
        return self._tails[seq_id].end

    def num_cells_of(self, seq_ids: Collection[int]) -> int:
        """Count the cells that these sequences occupy together."""
        nodes = {id(node): node for seq_id in seq_ids for node in path_of(self._tails[seq_id])}
        return sum(len(node.tokens) for node in nodes.values())

    def num_own_cells(self, seq_id: int) -> int:
        """Count the cells that a sequence shares with no other."""
        nodes = itertools.takewhile(lambda node: len(node.holders) == 1, path_of(self._tails[seq_id]))
        return sum(len(node.tokens) for node in nodes)

    def tokens(self, seq_id: int) -> list[int]:
        """Return the tokens of a sequence, from the first."""
        nodes = reversed(list(path_of(self._tails[seq_id])))
        return [token for node in nodes for token in node.tokens]

    def match(self, token_ids: list[int], *, whole: bool = False) -> Match:
        """Find the longest prefix of `token_ids` that is in cells, and who holds it.

        With `whole`, only sequences that consist of nothing but that prefix count.
        """
        best = Match(0, frozenset())
        for node, length in walk(self._root, token_ids):
            holders: Iterable[int] = node.holders
            if whole:
                holders = [i for i in node.holders if self._tails[i] is node] if length == node.end else []
            if length > best.length and holders:
                best = Match(length, frozenset(holders))
        return best

    def going_on(self, token_ids: list[int], most: int) -> list[int]:
        """Find how a sequence goes on that begins with `token_ids`, at most `most` tokens; of several the
        latest to part from the others.
        """
        matches = [node for node, length in walk(self._root, token_ids) if length == len(token_ids)]
        found = [beyond(node, len(token_ids) - node.start, most) for node in matches]
        return max(reversed(found), key=len, default=[])

    def clear(self) -> None:
        """Forget everything."""
        self._root = Node(0, [], None)
        self._tails.clear()
        self.num_cells = 0
        if self.observer is not None:
            self.observer.cleared()

    def _node_ending_at(self, seq_id: int, length: int) -> Node:
        """The node on the sequence's path that ends there, split off if need be."""
        node = self._tails[seq_id]
        while node.start >= length and node.parent is not None:
            node = node.parent
        return node if node.end == length else split(node, length - node.start)

    def _release(self, seq_id: int, node: Node, *, stop: Node | None) -> None:
        """Take the sequence off every node from `node` up to, not including, `stop`."""
        for current in list(path_of(node)):
            if current is stop:
                return
            current.holders.discard(seq_id)
            if not current.holders:
                self.num_cells -= len(current.tokens)
                if current.parent is not None:
                    current.parent.detach(current)
            else:
                merge_with_only_child(current)


def token_of(key: int) -> int:
    """Tell the token that a key is of."""
    return key & _TOKEN_MASK


def scope_mark(key: int) -> str:
    """Tell who may share what begins with a key, by a number for their name; "" where it says nothing."""
    mark = key >> _MARK_SHIFT & _MARK_MASK
    return f"{mark:032x}" if mark else ""


def mark_of(name: str) -> str:
    """Tell the mark of a scope's name, as `scope_mark` has it."""
    return scope_mark(_mark(name))


def num_lasting(keys: list[int], *, with_private: bool) -> int:
    """Count the keys, from the first, that others may share, or with `with_private` any later request; none
    from the first image on, whose cells are not worth more than a run of its encoder.
    """
    for position, key in enumerate(keys):
        if key > _TOKEN_MASK and (not with_private or key & _ONCE_BIT or is_media(key)):
            return position
    return len(keys)


@functools.lru_cache(1024)
def _mark(name: str) -> int:
    """A number for a name that no other has, for all that cryptography knows."""
    digest = hashlib.blake2b(name.encode(), digest_size=16).digest()
    mark = int.from_bytes(digest, "little") << _MARK_SHIFT
    return mark | _ONCE_BIT if name.startswith(ONCE) else mark & ~_ONCE_BIT
