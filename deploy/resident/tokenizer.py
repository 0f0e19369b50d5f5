"""The tokenizer: byte-level BPE with the split and the special tokens of Qwen, so that llama.cpp knows it."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from deploy.resident.data import a_sample
from deploy.resident.render import CONTROL_TOKENS, VISIBLE_TOKENS, render

# llama.cpp calls this split "qwen2"; digits stand alone, and nothing is normalised.
SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def untrained() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def texts(seed: int, count: int) -> Iterator[str]:
    rng = Random(seed)
    for _ in range(count):
        yield render(a_sample(rng)[1])


def train(vocab_size: int, seed: int, count: int) -> Tokenizer:
    """Special tokens last, as in Qwen's vocabulary; those a reader should see are not special when decoding."""
    added = len(CONTROL_TOKENS) + len(VISIBLE_TOKENS)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - added,
        min_frequency=2,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer = untrained()
    tokenizer.train_from_iterator(_without_special(texts(seed, count)), trainer)
    tokenizer.add_special_tokens(
        [AddedToken(text, special=True, normalized=False) for text in CONTROL_TOKENS]
    )
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in VISIBLE_TOKENS])
    return tokenizer


def _without_special(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        for token in (*CONTROL_TOKENS, *VISIBLE_TOKENS):
            line = line.replace(token, "\n")
        yield line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vocab-size", type=int, default=3072)
    parser.add_argument("--samples", type=int, default=80000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("runs/resident/tokenizer.json"))
    options = parser.parse_args()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    tokenizer = train(options.vocab_size, options.seed, options.samples)
    tokenizer.save(str(options.output))
    print(f"{tokenizer.get_vocab_size()} tokens in {options.output}")


if __name__ == "__main__":
    main()
