"""The sampler for gaps against llama.cpp's own, and what it does where the text may not end."""

from collections.abc import Generator

import llama_cpp
import numpy as np
import pytest
from caravan.engine.sampling.candidates import Candidates, Floats
from caravan.engine.sampling.infill import Infill
from caravan.engine.sampling.sampler import Sampler, TokenSpace
from caravan.llama.model import Model
from caravan.llama.vocab import Vocab
from caravan.models import resident

from tests.engine.sampling.oracle import Native, candidates, row, same
from tests.engine.sampling.rows import params, resident_rows

WORDS = ("th", "the", "them", "t", "w", "wh", "what")


@pytest.fixture(scope="module")
def model() -> Generator[Model, None, None]:
    model = Model(resident.model_path())
    yield model
    model.close()


def ours(vocab: Vocab, logits: Floats, kept: Candidates) -> Candidates:
    infill = Infill(vocab.end_of_generation_ids, vocab.token_bytes)
    infill.row = logits
    return infill(kept)


def logits_of(vocab: Vocab) -> Generator[Floats, None, None]:
    """Rows of the model itself; noise; ends of text, and words that begin alike, made likely."""
    yield from resident_rows()
    words = [vocab.tokenize(word, add_special=False, parse_special=False)[0] for word in WORDS]
    for seed in range(30):
        logits = row(seed, vocab.size, (0.3, 3.0, 8.0)[seed % 3])
        yield logits
        likely = logits.copy()
        likely[words] = logits.max() + np.linspace(0, seed / 30, len(words), dtype=np.float32)
        yield likely
        ending = logits.copy()
        ending[list(vocab.end_of_generation_ids)] += seed / 3
        yield ending


def test_it_does_what_llama_cpp_does(model: Model) -> None:
    vocab = model.vocab
    native = Native(llama_cpp.llama_sampler_init_infill(vocab._pointer))
    num_ends = num_choices = num_merged = 0
    for logits in logits_of(vocab):
        for count in (1, 2, 5, 40, 300):
            kept = candidates(logits).top(count)
            theirs, mine = native.apply(kept.logits, kept.ids.tolist()), ours(vocab, logits, kept)
            if theirs.keys() <= vocab.end_of_generation_ids and [*theirs.values()] == [1.0]:
                # No text is likely: it makes an end, of which there are several, with a logit of its own.
                assert set(mine.ids.tolist()) <= vocab.end_of_generation_ids
            else:
                assert same(mine, theirs)
            num_ends += set(mine.ids.tolist()) <= vocab.end_of_generation_ids
            num_choices += mine.size > 1
            num_merged += mine.size == 1 < count
    assert num_ends > 20
    assert num_choices > 20
    assert num_merged > 20


def test_it_looks_at_the_likeliest_alone() -> None:
    num_asked = 0

    def token_bytes(token_id: int) -> bytes:
        nonlocal num_asked
        num_asked += 1
        return b"%d" % token_id

    logits = np.linspace(0, 1, 100_000, dtype=np.float32)
    infill = Infill([0], token_bytes)
    infill.row = logits
    assert infill(candidates(logits)).ids.tolist() == [0]
    assert num_asked == 1000


def test_a_text_that_may_not_end_goes_on() -> None:
    logits = np.zeros(300, np.float32)
    for banned in ({"logit_bias": ((0, -np.inf),)}, {"ignore_eos": True}, {"min_tokens": 5}):
        sampler = Sampler(
            params(samplers=("infill",), **banned), [1], 0, TokenSpace(300, [0], lambda i: b"%03d" % i)
        )
        assert sampler.sample(logits.copy()) != 0
    free = Sampler(params(samplers=("infill",)), [1], 0, TokenSpace(300, [0], lambda i: b"%03d" % i))
    assert free.sample(logits.copy()) == 0


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_it_acts_at_its_place_whatever_the_temperature(temperature: float) -> None:
    logits = np.zeros(300, np.float32)
    logits[[5, 6]] = 9.0, 8.9
    settings = params(samplers=("top_k", "infill"), top_k=2, temperature=temperature)
    space = TokenSpace(300, [6], lambda i: b"%03d" % i)
    assert Sampler(settings, [1], 0, space).sample(logits) == 6
