"""Our masks of GBNF against llama.cpp's own grammar sampler, on the vocabulary of the resident model.

Two differences are meant. Control tokens and markers such as `<think>` never come as text, as with every
other constraint. And a token that ends within a character may come where any allowed character can still
become of it: llama.cpp forbids it where a negated class leaves out a single one of those, and does not know
which bytes are no UTF-8.
"""

import random
from collections.abc import Iterator

import numpy as np
import pytest
from caravan.engine.constraints.token_mask import MaskFactory, TokenMask
from caravan.grammars.compiler import GrammarCompiler
from caravan.llama.model import Model
from caravan.models.resident import model_path

from tests.grammars.gbnf.grammars import FILES, OWN, README, TAILS, TOKENS
from tests.llama.native import NativeGrammar
from tests.tiny_vocab import byte_table

TEXT = {**FILES, **README, **OWN, **TAILS}
NUM_WALKS = 3
NUM_STEPS = 25


class Masks:
    """Masks for one vocabulary."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.vocab = model.vocab
        self.ends = self.vocab.end_of_generation_ids
        self._grammars = GrammarCompiler()
        self._factory = MaskFactory(self.vocab.size, self.vocab)
        self.hidden = self.vocab.marker_ids | {i for i, text in enumerate(byte_table(self.vocab)) if not text}
        self.hidden -= self.ends

    def make(self, text: str) -> TokenMask:
        (mask,) = self._factory.make(self._grammars.from_gbnf(text, self.vocab), 1)
        return mask

    def allowed(self, mask: TokenMask) -> set[int]:
        if mask.is_complete:
            return set(self.ends)
        row = np.zeros(self.vocab.size, np.float32)
        mask.forbid(row)
        return set(np.flatnonzero(np.isfinite(row)).tolist())


@pytest.fixture(scope="module")
def masks() -> Iterator[Masks]:
    model = Model(model_path(), vocab_only=True)
    yield Masks(model)
    model.close()


def is_whole(text: bytes) -> bool:
    """Whether bytes begin and end between characters."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def assert_equal_on_walks(masks: Masks, grammar: str, *, hidden: set[int]) -> None:
    pieces = byte_table(masks.vocab)
    for seed in range(NUM_WALKS):
        rng = random.Random(seed)
        native, mask = NativeGrammar(masks.model, grammar), masks.make(grammar)
        text = b""
        for _ in range(NUM_STEPS):
            theirs, ours = native.allowed() - hidden, masks.allowed(mask)
            if is_whole(text):
                assert {i for i in theirs ^ ours if is_whole(pieces[i])} == set(), text
            else:
                assert not ours & masks.ends
            possible = sorted((theirs & ours) - masks.ends)
            if not possible:
                break
            # Half characters are many and lead nowhere new.
            whole = [i for i in possible if is_whole(pieces[i])]
            token_id = rng.choice(whole if whole and rng.random() < 0.8 else possible)
            native.accept(token_id)
            assert mask.admits(token_id)
            text += pieces[token_id]
        native.close()


def test_there_are_many_grammars() -> None:
    assert len(FILES) == 11
    assert len(TEXT) + len(TOKENS) >= 50


@pytest.mark.parametrize("name", TEXT)
def test_masks_are_those_of_llama_cpp(masks: Masks, name: str) -> None:
    assert_equal_on_walks(masks, TEXT[name], hidden=set(masks.hidden))


@pytest.mark.parametrize("name", TOKENS)
def test_masks_with_tokens_are_those_of_llama_cpp(masks: Masks, name: str) -> None:
    assert_equal_on_walks(masks, TOKENS[name], hidden=set())


@pytest.mark.parametrize(
    ("characters", "low", "high"),
    [
        ("[ぁ-ゟ]", 0x3041, 0x309F),
        ("[😀-🙏]", 0x1F600, 0x1F64F),
        ("[߀-࠿]", 0x7C0, 0x83F),
        ("[^à-ÿ]", 0xE0, 0xFF),
    ],
)
def test_half_characters_come_where_the_rest_can(masks: Masks, characters: str, low: int, high: int) -> None:
    text = [*range(1, 0xD800), *range(0xE000, 0x110000)]
    chosen = [c for c in text if not low <= c <= high] if "^" in characters else range(low, high + 1)
    whole = {chr(code).encode() for code in chosen}
    possible = {character[:length] for character in whole for length in range(1, 5)}
    mask = masks.make(f"root ::= {characters}{{40}}")
    singles = {i: piece for i, piece in enumerate(byte_table(masks.vocab)) if len(piece) == 1}
    rng = random.Random(1)
    pending = b""
    for _ in range(30):
        ours = masks.allowed(mask) & singles.keys()
        assert ours == {i for i, byte in singles.items() if pending + byte in possible}
        token_id = rng.choice(sorted(ours))
        assert mask.admits(token_id)
        pending += singles[token_id]
        pending = b"" if pending in whole else pending
