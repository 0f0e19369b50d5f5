"""The labels of a question as a trie of their tokens, and what the engine is asked to score it.

A label's probability is the product of those of its tokens, and of its end: without that, no label could win
against one that it begins with.
"""

import itertools
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from caravan.api.decisions.probabilities import LabelScore, log_sum
from caravan.engine.outputs import TokenLogprob

Path = tuple[int, ...]
Tokens = TypeVar("Tokens", Path, "array[int]")


@dataclass(frozen=True)
class Branch:
    """A path of tokens from the root to a leaf.

    `probes` are for its last places, those that no earlier branch has. Those of the first branch begin with
    the root, which is the last token before all paths.
    """

    path: Path
    probes: tuple[tuple[int, ...], ...]


class LabelTrie:
    """`labels` are token sequences, all different and none empty; an answer ends with one of `end_ids`.

    Without any, ends do not count.
    """

    def __init__(self, labels: Sequence[Path], end_ids: Sequence[int]) -> None:
        self._labels = labels
        self._end_ids = tuple(end_ids)
        self._ended = frozenset(labels)
        self._probed: dict[Path, tuple[int, ...]] = self._probes()
        self.branches = list(self._branches())

    @property
    def num_nodes(self) -> int:
        """Tokens that are scored or computed, those of all labels together, without ends."""
        return len({label[:depth] for label in self._labels for depth in range(len(label))} | self._ended) - 1

    def scores(self, told: Sequence[Sequence[TokenLogprob]]) -> list[LabelScore]:
        """Score the labels by what was told of the branches, in their order."""
        logprobs: dict[Path, float] = {}
        ends: dict[Path, float] = {} if self._end_ids else dict.fromkeys(self._labels, 0.0)
        for branch, entries in zip(self.branches, told, strict=True):
            left = iter(entries)
            first = len(branch.path) - len(branch.probes) + 1
            for depth in range(first, len(branch.path) + 1):
                node = branch.path[:depth]
                found = {token_id: next(left).logprob for token_id in self._probed[node]}
                logprobs |= {(*node, token_id): logprob for token_id, logprob in found.items()}
                if node in self._ended and self._end_ids:
                    ends[node] = log_sum([found[token_id] for token_id in self._end_ids])
        return [
            LabelScore(
                sum(logprobs[label[: depth + 1]] for depth in range(len(label))) + ends[label],
                len(label) + bool(self._end_ids),
            )
            for label in self._labels
        ]

    def _probes(self) -> dict[Path, tuple[int, ...]]:
        """What is asked at each node: its children, and the end where a label ends there."""
        children: dict[Path, dict[int, None]] = {(): {}}
        for label in self._labels:
            for depth, token_id in enumerate(label):
                children.setdefault(label[:depth], {})[token_id] = None
            children.setdefault(label, {})
        asked = {
            node: tuple(dict.fromkeys((*below, *(self._end_ids if node in self._ended else ()))))
            for node, below in children.items()
        }
        return {node: token_ids for node, token_ids in asked.items() if token_ids}

    def _branches(self) -> list[Branch]:
        ordered = sorted(self._probed)
        leaves = [node for node, after in itertools.pairwise(ordered) if after[: len(node)] != node]
        leaves.append(ordered[-1])
        branches: list[Branch] = []
        seen = -1
        for place, leaf in enumerate(leaves):
            if place:
                seen = num_common(leaf, leaves[place - 1])
            probes = tuple(self._probed[leaf[:depth]] for depth in range(seen + 1, len(leaf) + 1))
            branches.append(Branch(leaf, probes))
        return branches


def num_common(one: Tokens, other: Tokens) -> int:
    """Count the tokens with which both begin."""
    low, high = 0, min(len(one), len(other))
    if one[:high] == other[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle)
    return low
