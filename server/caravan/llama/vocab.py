"""Tokens and bytes: the vocabulary of one model."""

import ctypes
import functools
import re
from array import array

import llama_cpp

from caravan.runtime.deep_stack import MAX_RUN, SAFE_RUN, DeepStack, longest_run

_TOKEN_NULL = -1
_CUT_OUT = (
    llama_cpp.LLAMA_TOKEN_ATTR_CONTROL
    | llama_cpp.LLAMA_TOKEN_ATTR_USER_DEFINED
    | llama_cpp.LLAMA_TOKEN_ATTR_UNKNOWN
)
# How control tokens are written: `<think>`, DeepSeek's `｜DSML｜`.
MARKER = re.compile("<.*>|｜.*｜".encode(), re.DOTALL)
# A character that no token joins to others.
_BEFORE = "\x02"
# llama.cpp's time grows with the square of their number: two seconds for these, minutes for ten times more.
MAX_SPECIAL = 32_768
# Letters, spaces, digits, and characters of two to four bytes that few vocabularies have.
_TRIAL = "Ab 7.\n\t\x01é\u07fa中\ufffd\u2028😀\U000e0041\U0010fffd"


class Vocab:
    """Tokenizer and token table of a model. Borrowed from `Model`, which must outlive it.

    Only reads native data, so any thread may use it.
    """

    def __init__(self, pointer: int) -> None:
        self._pointer = pointer
        self._deep_stack = DeepStack()
        self._pieces: dict[int, bytes] = {}
        self.size = int(llama_cpp.llama_vocab_n_tokens(pointer))
        self.adds_bos = bool(llama_cpp.llama_vocab_get_add_bos(pointer))

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Read `text` into token ids (`llama_tokenize`).

        `add_special` adds BOS and the like where the model wants them; `parse_special` reads the text of
        control tokens as those tokens instead of plain text. Raises UnicodeEncodeError on lone surrogates,
        and ValueError on text that this tokenizer could not take without harm to the process or for minutes.
        """
        return self.token_array(text, add_special=add_special, parse_special=parse_special).tolist()

    def token_array(self, text: str, *, add_special: bool, parse_special: bool) -> "array[int]":
        """Do the same in a tenth of the memory: there may be millions."""
        if len(text) <= SAFE_RUN:
            return self._tokenize(text, add_special, parse_special)
        run = longest_run(text)
        if run > MAX_RUN:
            raise ValueError(
                f"it has a run of {run} characters without a break; at most {MAX_RUN} can be read"
            )
        if parse_special and self._count_special(text) > MAX_SPECIAL:
            raise ValueError(f"it has more than {MAX_SPECIAL} special tokens")
        if run <= SAFE_RUN:
            return self._tokenize(text, add_special, parse_special)
        return self._deep_stack.call(lambda: self._tokenize(text, add_special, parse_special), run)

    def _tokenize(self, text: str, add_special: bool, parse_special: bool) -> "array[int]":
        data = text.encode("utf-8")
        room = len(data) + 8
        while True:
            buffer = (ctypes.c_int32 * room)()
            count = llama_cpp.llama_tokenize(
                self._pointer, data, len(data), buffer, room, add_special, parse_special
            )
            if count >= 0:
                token_ids = array("i")
                token_ids.frombytes(memoryview(buffer).cast("B")[: count * token_ids.itemsize])
                if count and min(token_ids) < 0:
                    raise ValueError("the model has no token for a part of it")
                return token_ids
            if -count <= room:
                raise RuntimeError(f"llama_tokenize failed with {count}")
            room = -count

    def try_out(self) -> None:
        """Read a text in every way, and every byte alone where bytes are looked up; may end the process.

        llama.cpp does so over some vocabularies: SentencePiece's without a token for a byte that a text has,
        or one that wants a beginning of text and has none. An engine's process may end while it starts. The
        server's, which reads the texts of all models, may not.
        """
        for text in (_TRIAL, ""):
            for add_special in (False, True):
                for parse_special in (False, True):
                    self.tokenize(text, add_special=add_special, parse_special=parse_special)
        if llama_cpp.llama_vocab_type(self._pointer) == llama_cpp.LLAMA_VOCAB_TYPE_SPM:
            found = (ctypes.c_int32 * 8)()
            for byte in range(256):
                llama_cpp.llama_tokenize(self._pointer, bytes([byte]), 1, found, len(found), False, False)

    def difference(self, other: "Vocab") -> str | None:
        """Tell in what the tokens of another vocabulary are not these; None where each is the same."""
        if other.size != self.size:
            return f"{other.size} tokens instead of {self.size}"
        kinds = [llama_cpp.llama_vocab_type(vocab._pointer) for vocab in (self, other)]
        for token_id in range(self.size if kinds[0] == kinds[1] else 0):
            texts = [llama_cpp.llama_vocab_get_text(vocab._pointer, token_id) for vocab in (self, other)]
            if texts[0] != texts[1]:
                ours, theirs = self.token_text(token_id), other.token_text(token_id)
                return f"token {token_id} as {theirs!r} instead of {ours!r}"
        return None if kinds[0] == kinds[1] else "another tokenizer"

    def _count_special(self, text: str) -> int:
        return sum(1 for _ in self._special_pattern.finditer(text))

    @functools.cached_property
    def _special_pattern(self) -> re.Pattern[str]:
        """Finds tokens that llama.cpp cuts out of a text before it tokenizes the rest."""
        texts = {
            self.token_text(token_id)
            for token_id in range(self.size)
            if llama_cpp.llama_vocab_get_attr(self._pointer, token_id) & _CUT_OUT
        }
        return re.compile("|".join(map(re.escape, sorted(texts - {""}, key=len, reverse=True))) or r"(?!)")

    @functools.cached_property
    def marker_ids(self) -> frozenset[int]:
        """Tokens that are ordinary text to llama.cpp and yet look like control tokens, such as `<think>`."""
        attributes = llama_cpp.LLAMA_TOKEN_ATTR_USER_DEFINED
        return frozenset(
            token_id
            for token_id in range(self.size)
            if llama_cpp.llama_vocab_get_attr(self._pointer, token_id) & attributes
            and MARKER.fullmatch(self.token_bytes(token_id))
        )

    @functools.cached_property
    def longest_token(self) -> int:
        """The most bytes of text that one token stands for."""
        lengths = (
            # Without room for it, a token's length comes back as a negative number.
            -int(llama_cpp.llama_token_to_piece(self._pointer, token_id, None, 0, 0, True))
            for token_id in range(self.size)
        )
        return max(lengths)

    def token_bytes(self, token_id: int) -> bytes:
        """Return the bytes that a token adds to the text; empty for control tokens."""
        piece = self._pieces.get(token_id)
        if piece is None:
            piece = self._pieces[token_id] = self._piece(token_id, special=False)
        return piece

    def raw_bytes(self, token_id: int) -> bytes:
        """Return the bytes of a token as people write it, control tokens included."""
        return self.token_bytes(token_id) or self._piece(token_id, special=True)

    def spell(self, text: str) -> list[int]:
        """Read text in the middle of other text into token ids: no tokenizer puts a space in front there."""
        before = self._tokens_before
        token_ids = self.tokenize(_BEFORE + text, add_special=False, parse_special=False)
        if token_ids[: len(before)] == before:
            return token_ids[len(before) :]
        return self.tokenize(text, add_special=False, parse_special=False)

    @functools.cached_property
    def _tokens_before(self) -> list[int]:
        return self.tokenize(_BEFORE, add_special=False, parse_special=False)

    def token_text(self, token_id: int) -> str:
        """Return a token as people write it, control tokens included, such as `<|im_end|>`."""
        return self._piece(token_id, special=True).decode("utf-8", errors="replace")

    @functools.cached_property
    def end_of_generation_ids(self) -> frozenset[int]:
        """All tokens with which the model ends its turn or its text (`llama_vocab_is_eog`)."""
        return frozenset(i for i in range(self.size) if llama_cpp.llama_vocab_is_eog(self._pointer, i))

    @property
    def bos_id(self) -> int | None:
        """Beginning of text, if the vocabulary has it."""
        return self._special(llama_cpp.llama_vocab_bos)

    @property
    def eos_id(self) -> int | None:
        """End of text, if the vocabulary has it."""
        return self._special(llama_cpp.llama_vocab_eos)

    @property
    def separator_ids(self) -> tuple[int, ...]:
        """What stands between two texts that are read as a pair, behind what ends the first anyway."""
        is_end = llama_cpp.llama_vocab_type(self._pointer) == llama_cpp.LLAMA_VOCAB_TYPE_WPM
        if is_end or not llama_cpp.llama_vocab_get_add_sep(self._pointer):
            return ()
        separator = self._special(llama_cpp.llama_vocab_sep)
        return () if separator is None else (separator,)

    @functools.cached_property
    def fill_ids(self) -> tuple[int, int, int] | None:
        """The tokens before a prefix, before a suffix and before what belongs between; None without them."""
        prefix_id, suffix_id, middle_id = (
            self._special(getter)
            for getter in (
                llama_cpp.llama_vocab_fim_pre,
                llama_cpp.llama_vocab_fim_suf,
                llama_cpp.llama_vocab_fim_mid,
            )
        )
        if prefix_id is None or suffix_id is None or middle_id is None:
            return None
        return prefix_id, suffix_id, middle_id

    @functools.cached_property
    def file_ids(self) -> tuple[int | None, int | None]:
        """The tokens before a repository's name and before a file's, which models for gaps may have."""
        return self._special(llama_cpp.llama_vocab_fim_rep), self._special(llama_cpp.llama_vocab_fim_sep)

    def _special(self, getter: "ctypes._FuncPointer") -> int | None:
        token_id = int(getter(self._pointer))
        return None if token_id == _TOKEN_NULL else token_id

    def _piece(self, token_id: int, *, special: bool) -> bytes:
        room = 64
        while True:
            buffer = ctypes.create_string_buffer(room)
            count = llama_cpp.llama_token_to_piece(self._pointer, token_id, buffer, room, 0, special)
            if count >= 0:
                return buffer.raw[:count]
            room = -count
