"""The vocabulary of the tiny models: byte-level BPE with every byte, a few merges and ChatML's tokens."""

import functools

import gguf
from caravan.llama.vocab import Vocab

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")

# Each pair exists when its line comes; "Ġ" is GPT-2's letter for a space.
_MERGES = (
    "Ġ t", "h e", "Ġt he", "i n", "Ġ a", "r e", "o n", "e r", "a n", "Ġ s", "Ġ w", "o u", "in g", "Ġ b",
    "a t", "e n", "o r", "i s", "i t", "Ġ o", "e s", "Ġ c", "an d", "Ġ and", "l l", "Ġ h", "Ġ y", "Ġy ou",
    "s t", "a r", "u s", "Ġ in",
)  # fmt: skip


@functools.cache
def _byte_letters() -> tuple[str, ...]:
    """GPT-2's printable letter for every byte, in order of byte."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), 256)]
    others = (byte for byte in range(256) if byte not in printable)
    letters = {byte: chr(byte) for byte in printable}
    letters |= {byte: chr(256 + index) for index, byte in enumerate(others)}
    return tuple(letters[byte] for byte in range(256))


@functools.cache
def _tokens() -> tuple[str, ...]:
    merged = (merge.replace(" ", "") for merge in _MERGES)
    return (*_byte_letters(), *merged, *SPECIAL_TOKENS)


def vocabulary_size() -> int:
    """How many tokens there are."""
    return len(_tokens())


def add_vocabulary(writer: gguf.GGUFWriter) -> None:
    """Describe the vocabulary in a GGUF file: `<|im_end|>` and `<|endoftext|>` both end generation."""
    tokens = _tokens()
    num_plain = len(tokens) - len(SPECIAL_TOKENS)
    kinds = [gguf.TokenType.NORMAL] * num_plain + [gguf.TokenType.CONTROL] * len(SPECIAL_TOKENS)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(list(tokens))
    writer.add_token_types(kinds)
    writer.add_token_merges(list(_MERGES))
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_pad_token_id(tokens.index("<|endoftext|>"))
    writer.add_add_bos_token(False)


@functools.cache
def byte_table(vocab: Vocab) -> tuple[bytes, ...]:
    """The bytes that each token adds to a text."""
    return tuple(vocab.token_bytes(token_id) for token_id in range(vocab.size))
