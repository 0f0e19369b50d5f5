"""Tries a vocabulary before anybody's text is read by it.

llama.cpp ends the process over some: SentencePiece's without a token for a byte that a text needs, or one
that wants a beginning of text and has none. An engine's process may end so while it starts. The web process,
which reads the texts of all models, may not.
"""

import ctypes

import llama_cpp

from caravan.llama.model import Model

# Letters, spaces, digits, and characters of two to four bytes that few vocabularies have.
_TEXT = "Ab 7.\n\t\x01é\u07fa中\ufffd\u2028😀\U000e0041\U0010fffd"


def try_tokenizer(model: Model) -> None:
    """Read a text in every way, and every byte alone where bytes are looked up; may end the process."""
    for add_special in (False, True):
        for parse_special in (False, True):
            model.vocab.tokenize(_TEXT, add_special=add_special, parse_special=parse_special)
            model.vocab.tokenize("", add_special=add_special, parse_special=parse_special)
    pointer = llama_cpp.llama_model_get_vocab(model.pointer)
    if llama_cpp.llama_vocab_type(pointer) == llama_cpp.LLAMA_VOCAB_TYPE_SPM:
        found = (ctypes.c_int32 * 8)()
        for byte in range(256):
            llama_cpp.llama_tokenize(pointer, bytes([byte]), 1, found, len(found), False, False)
