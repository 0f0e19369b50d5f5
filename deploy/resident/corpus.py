"""The corpus on disk: token ids and their roles, document after document."""

import argparse
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from deploy.resident.data import a_sample
from deploy.resident.render import render, supplied_spans, trained_spans


class Role(IntEnum):
    """Whether a token is never learned, only read, or written by the model."""

    SUPPLIED = 0
    READ = 1
    SPOKEN = 2


@dataclass(frozen=True)
class Document:
    """One sample as tokens, with the role of each."""

    ids: list[int]
    roles: list[Role]


@dataclass(frozen=True)
class Corpus:
    """All documents end to end; `starts` holds where each begins, and the end of the last."""

    ids: NDArray[np.int32]
    roles: NDArray[np.int8]
    starts: NDArray[np.int64]

    def save(self, path: Path) -> None:
        np.savez(path, ids=self.ids, roles=self.roles, starts=self.starts)

    @classmethod
    def load(cls, path: Path) -> "Corpus":
        with np.load(path) as arrays:
            return cls(arrays["ids"], arrays["roles"], arrays["starts"])


def tokenized(tokenizer: Tokenizer, text: str) -> Document:
    encoding = tokenizer.encode(text)
    ranges = [(span, Role.SPOKEN) for span in trained_spans(text)] + [
        (span, Role.SUPPLIED) for span in supplied_spans(text)
    ]
    roles = [
        next((role for (low, high), role in ranges if low <= start < high), Role.READ)
        for start, _ in encoding.offsets
    ]
    return Document(encoding.ids, roles)


def build(tokenizer: Tokenizer, seed: int, count: int, max_length: int) -> Corpus:
    """Draw `count` different documents; one that is longer than a row is left out."""
    rng = Random(seed)
    documents = []
    for _ in range(count):
        document = tokenized(tokenizer, render(a_sample(rng)[1]))
        if len(document.ids) <= max_length:
            documents.append(document)
    starts = np.cumsum([0, *(len(document.ids) for document in documents)], dtype=np.int64)
    ids = np.concatenate([np.asarray(document.ids, dtype=np.int32) for document in documents])
    roles = np.concatenate([np.asarray(document.roles, dtype=np.int8) for document in documents])
    return Corpus(ids, roles, starts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokenizer", type=Path, default=Path("runs/resident/tokenizer.json"))
    parser.add_argument("--output", type=Path, default=Path("runs/resident"))
    parser.add_argument("--samples", type=int, default=160000)
    parser.add_argument("--validation-samples", type=int, default=800)
    parser.add_argument("--max-length", type=int, default=1024)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    tokenizer = Tokenizer.from_file(str(options.tokenizer))
    # Seeds far apart: the tokenizer, the training and the validation set share no random source.
    for name, seed, count in (
        ("train", options.seed * 1000 + 1, options.samples),
        ("validation", options.seed * 1000 + 2, options.validation_samples),
    ):
        corpus = build(tokenizer, seed, count, options.max_length)
        corpus.save(options.output / f"{name}.npz")
        print(f"{name}: {len(corpus.starts) - 1} documents, {len(corpus.ids)} tokens")


if __name__ == "__main__":
    main()
