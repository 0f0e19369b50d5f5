"""The corpus on disk: token ids with their share of the loss, cut into rows of whole documents."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from deploy.resident.data import a_sample
from deploy.resident.render import render, trained_spans


@dataclass(frozen=True)
class Document:
    """One sample as tokens; `spoken` marks those the model itself has to write."""

    ids: list[int]
    spoken: list[bool]


@dataclass(frozen=True)
class Corpus:
    """All documents end to end; `starts` holds where each begins, and the end of the last."""

    ids: NDArray[np.int32]
    spoken: NDArray[np.bool_]
    starts: NDArray[np.int64]

    def save(self, path: Path) -> None:
        np.savez(path, ids=self.ids, spoken=self.spoken, starts=self.starts)

    @classmethod
    def load(cls, path: Path) -> "Corpus":
        with np.load(path) as arrays:
            return cls(arrays["ids"], arrays["spoken"], arrays["starts"])


def tokenized(tokenizer: Tokenizer, text: str) -> Document:
    encoding = tokenizer.encode(text)
    spans = trained_spans(text)
    spoken = [any(low <= start < high for low, high in spans) for start, _ in encoding.offsets]
    return Document(encoding.ids, spoken)


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
    spoken = np.concatenate([np.asarray(document.spoken, dtype=np.bool_) for document in documents])
    return Corpus(ids, spoken, starts)


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
