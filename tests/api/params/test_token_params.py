"""DRY's breakers as token sequences: llama.cpp's own, by its sampler's effect on random texts."""

import ctypes
import random

import llama_cpp
import numpy as np
import pytest
from caravan.api.params.token_params import DryBreakers, LongBreakerError
from caravan.engine.sampling.logits_processors import Dry
from caravan.llama.model import Model

from tests.conftest import TinyModels
from tests.engine.sampling.oracle import Native, row
from tests.fakes_web import FakeVocab
from tests.tiny_vocab import vocabulary_size

MULTIPLIER, BASE, ALLOWED, WINDOW = 0.8, 1.75, 1, 50
BREAKERS = [["\n", ":", '"', "*"], [" the"], ["and t"], ["hea", "er"], ["<|im_end|>"], ["in the", " a"]]


def test_a_token_with_the_breaker_in_it_is_one_by_itself() -> None:
    vocab = FakeVocab()
    assert DryBreakers().sequences(vocab, "\n") == ((10,),)
    assert DryBreakers().sequences(vocab, "<|im_end|>")[0] == (258,)
    assert DryBreakers().sequences(vocab, "ab") == ((ord("a"), ord("b")),)
    assert DryBreakers().sequences(vocab, "aab") == ((ord("a"), *b"ab"),)


def test_long_breakers_are_refused_and_not_cut() -> None:
    DryBreakers().sequences(FakeVocab(), "x" * 21)
    for breaker in ("x" * 22, "é" * 21):
        with pytest.raises(LongBreakerError):
            DryBreakers().sequences(FakeVocab(), breaker)


@pytest.mark.parametrize("breakers", BREAKERS, ids=repr)
def test_they_act_as_llama_cpps_do(tiny_models: TinyModels, breakers: list[str]) -> None:
    model = Model(tiny_models["qwen2"], vocab_only=True)
    vocab = model.vocab
    found: dict[int, tuple[tuple[int, ...], ...]] = {}
    for head, *tail in {
        sequence for breaker in breakers for sequence in DryBreakers().sequences(vocab, breaker)
    }:
        found[head] = (*found.get(head, ()), tuple(tail))
    texts = (ctypes.c_char_p * len(breakers))(*(breaker.encode() for breaker in breakers))
    for seed in range(30):
        rng = random.Random(seed)
        words = [" the", "\n", "and", " t", "he", "a", ":", "in", " a", "er", "<|im_end|>"]
        text = [
            token_id
            for word in rng.choices(words, k=rng.randrange(1, 40))
            for token_id in vocab.tokenize(word, add_special=False, parse_special=True)
        ]
        logits = row(seed, vocabulary_size())
        dry = Dry(multiplier=MULTIPLIER, base=BASE, allowed_length=ALLOWED, window=WINDOW, breakers=found)
        dry.accept(text)
        ours = logits.copy()
        dry.apply(ours)
        native = Native(
            llama_cpp.llama_sampler_init_dry(
                vocab._pointer, MULTIPLIER, BASE, ALLOWED, WINDOW, texts, len(breakers)
            )
        )
        theirs = native.accept(text).apply(logits)
        np.testing.assert_allclose(ours, [theirs[i] for i in range(len(ours))], rtol=1e-5)
    model.close()
