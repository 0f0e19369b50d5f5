"""Batches of documents: drawn at random, sorted by length and padded in small groups, so little is wasted."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from deploy.resident.corpus import Corpus, Role


@dataclass(frozen=True)
class Group:
    """Documents of similar length: inputs, what follows each, where each stands, whether the model has to say
    it, and its share of the loss.
    """

    ids: Tensor
    targets: Tensor
    positions: Tensor
    spoken: Tensor
    weights: Tensor
    num_tokens: int


@dataclass(frozen=True)
class BatchOptions:
    """How documents become groups.

    Of the tokens that the model only reads, a random share is learned. A share of documents has a gap in its positions, so that a short corpus trains the whole context.
    """

    group_tokens: int = 4096
    prompt_share: float = 0.15
    gap_share: float = 0.15
    context_length: int = 2048


def _groups_of(lengths: list[int], limit: int) -> Iterator[slice]:
    """Runs of a sorted list whose padded size stays within the limit."""
    start = 0
    for index, length in enumerate(lengths):
        if index > start and (index + 1 - start) * length > limit:
            yield slice(start, index)
            start = index
    yield slice(start, len(lengths))


def groups(
    corpus: Corpus, documents: list[int], options: BatchOptions, rng: np.random.Generator
) -> Iterator[Group]:
    """The documents of one batch, as groups."""
    lengths = np.diff(corpus.starts)
    ordered = sorted(documents, key=lambda document: int(lengths[document]))
    for part in _groups_of([int(lengths[document]) for document in ordered], options.group_tokens):
        members = ordered[part]
        width = int(lengths[members[-1]]) - 1
        ids = np.zeros((len(members), width + 1), dtype=np.int64)
        spoken = np.zeros((len(members), width + 1), dtype=np.bool_)
        read = np.zeros((len(members), width + 1), dtype=np.bool_)
        positions = np.tile(np.arange(width, dtype=np.int64), (len(members), 1))
        for row, document in enumerate(members):
            low, high = corpus.starts[document], corpus.starts[document + 1]
            ids[row, : high - low] = corpus.ids[low:high]
            spoken[row, : high - low] = corpus.roles[low:high] == Role.SPOKEN
            drawn = rng.random(high - low) < options.prompt_share
            read[row, : high - low] = drawn & (corpus.roles[low:high] == Role.READ)
            if rng.random() < options.gap_share:
                cut = rng.integers(0, width + 1)
                positions[row, cut:] += rng.integers(0, options.context_length - width)
        yield Group(
            torch.from_numpy(ids[:, :-1]),
            torch.from_numpy(ids[:, 1:]),
            torch.from_numpy(positions),
            torch.from_numpy(spoken[:, 1:]),
            torch.from_numpy((spoken | read)[:, 1:].astype(np.float32)),
            sum(int(lengths[member]) for member in members),
        )
