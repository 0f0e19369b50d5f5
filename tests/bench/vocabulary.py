"""A vocabulary of real size: 151,936 byte-level BPE tokens, made by rule instead of from text.

Every ` abcX` with X of a to f (and some with g) is a single token, reached by merges of the lowest ranks. So
a prompt of n such words is a prompt of n tokens, and text drawn from them tokenizes back to the same tokens,
as the text of trained models nearly always does.
"""

import functools
import itertools
import random
import string
from collections.abc import Iterator

import gguf

SIZE = 151_936
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_LETTERS = string.ascii_lowercase
_SPACE = "Ġ"
_NUM_BYTES = 256


@functools.cache
def merges() -> tuple[tuple[str, str], ...]:
    """Pairs by rank: those that build words after a space come first, so nothing else tears a word."""
    pairs = [(_SPACE, letter) for letter in _LETTERS]
    pairs += [(_SPACE + a, b) for a, b in _products(2)]
    pairs += [(_SPACE + a + b, c) for a, b, c in _products(3)]
    bare = [(a, b) for a, b in _products(2)] + [(a + b, c) for a, b, c in _products(3)]
    num_words = SIZE - _NUM_BYTES - len(_SPECIAL) - len(pairs) - len(bare)
    words = ((_SPACE + a + b + c, last) for last in _LETTERS for a, b, c in _products(3))
    return (*pairs, *itertools.islice(words, num_words), *bare)


@functools.cache
def tokens() -> tuple[str, ...]:
    """All tokens in order of id: bytes, merges, special tokens."""
    return (*byte_letters(), *(left + right for left, right in merges()), *_SPECIAL)


def word_ids() -> range:
    """Ids of the four-letter words, the only tokens that models of this benchmark draw."""
    start = _NUM_BYTES + sum(len(_LETTERS) ** length for length in (1, 2, 3))
    num_bare = sum(len(_LETTERS) ** length for length in (2, 3))
    return range(start, SIZE - len(_SPECIAL) - num_bare)


def words(count: int, generator: random.Random) -> str:
    """Text of `count` tokens, beginning with a space."""
    return "".join(
        f" {''.join(generator.choices(_LETTERS, k=3))}{generator.choice('abcdef')}" for _ in range(count)
    )


def byte_letters() -> tuple[str, ...]:
    """GPT-2's printable letter for every byte, in order of byte."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable}
    letters |= {byte: chr(256 + index) for index, byte in enumerate(others)}
    return tuple(letters[byte] for byte in range(256))


def add_to(writer: gguf.GGUFWriter) -> None:
    """Describe vocabulary and chat template in a GGUF file."""
    names = tokens()
    num_plain = SIZE - len(_SPECIAL)
    kinds = [gguf.TokenType.NORMAL] * num_plain + [gguf.TokenType.CONTROL] * len(_SPECIAL)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(list(names))
    writer.add_token_types(kinds)
    writer.add_token_merges([f"{left} {right}" for left, right in merges()])
    writer.add_eos_token_id(names.index("<|im_end|>"))
    writer.add_pad_token_id(names.index("<|endoftext|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def _products(length: int) -> Iterator[tuple[str, ...]]:
    return itertools.product(_LETTERS, repeat=length)
