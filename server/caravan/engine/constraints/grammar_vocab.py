"""A model's vocabulary as llguidance reads it."""

from collections.abc import Callable

import numpy as np
from llguidance import LLTokenizer, TokenizerWrapper
from numpy.typing import NDArray

from caravan.grammars.token_table import TokenTable

# After the model's tokens come as many that stand for one byte each, so that text can be told to a matcher
# whatever tokens it came in. No mask has bits for them.
NUM_BYTES = 256
# Tokens without text need some, or they may come wherever a grammar names any token at all.
_NO_TEXT = b"<no text>"


class GrammarVocab:
    """`tokenizer` has the model's tokens and then NUM_BYTES others; `space_ids` are those of white space."""

    def __init__(self, vocab_size: int, tokens: TokenTable) -> None:
        table = [tokens.token_bytes(token_id) for token_id in range(vocab_size)]
        wrapper = _Wrapper(table, tokens)
        self.tokenizer = LLTokenizer(wrapper, eos_token=sorted(tokens.end_of_generation_ids))
        wrapper.spell_greedily = self.tokenizer.greedy_tokenize
        spaces = [token_id for token_id, text in enumerate(table) if text.isspace()]
        self.space_ids: NDArray[np.int32] = np.array(spaces, np.int32)


class _Wrapper(TokenizerWrapper):
    """What LLTokenizer reads of a vocabulary: the bytes of every token, and which stand for no text.

    Markers never come in constrained text unless the grammar names them: whoever reads it would take them
    for more than text.
    """

    is_tokenizer_wrapper = True
    bos_token_id = None

    def __init__(self, table: list[bytes], tokens: TokenTable) -> None:
        self.tokens = [*(text or _NO_TEXT for text in table), *(bytes([byte]) for byte in range(NUM_BYTES))]
        self.special_token_ids = [
            token_id for token_id, text in enumerate(table) if not text or token_id in tokens.marker_ids
        ]
        self.eos_token_id = min(tokens.end_of_generation_ids)
        self._spell = tokens.spell
        self.spell_greedily: Callable[[str], list[int]] | None = None

    def __call__(self, text: str) -> list[int]:
        """The tokens of forced text, which must say it exactly: not every tokenizer does."""
        token_ids = self._spell(text)
        is_exact = b"".join(self.tokens[token_id] for token_id in token_ids) == text.encode()
        return token_ids if is_exact or self.spell_greedily is None else self.spell_greedily(text)
