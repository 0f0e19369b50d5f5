"""References to tokens, which mean something for one vocabulary only."""

import re
from typing import Protocol

from caravan.grammars.gbnf.syntax import GbnfError, Tokens

_NUMBER = re.compile(r"<\[([0-9]+)\]>")


class TokenNames(Protocol):
    """What a grammar that names tokens asks of the vocabulary."""

    size: int

    @property
    def end_of_generation_ids(self) -> frozenset[int]: ...
    @property
    def marker_ids(self) -> frozenset[int]: ...

    def token_bytes(self, token_id: int) -> bytes: ...
    def token_text(self, token_id: int) -> str: ...
    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]: ...


def resolved(written: str, offset: int, names: TokenNames | None, *, negated: bool) -> Tokens:
    """Find the token of this name or number, or any other; raises GbnfError."""
    if names is None:
        raise GbnfError("tokens cannot be named here", offset)
    token_id = _id(written, offset, names)
    if not negated and token_id in names.end_of_generation_ids:
        raise GbnfError("a token that ends the answer comes after the grammar, not in it", offset)
    if not negated and not has_text(token_id, names):
        raise GbnfError("this token can never come: it has no text", offset)
    return Tokens(token_id, negated, offset)


def has_text(token_id: int, names: TokenNames) -> bool:
    """Tell whether llama.cpp lets a grammar have this token: one written as nothing, or as U+0000, never."""
    return names.token_text(token_id)[:1] not in ("", "\0")


def _id(written: str, offset: int, names: TokenNames) -> int:
    number = _NUMBER.fullmatch(written)
    if number is not None:
        token_id = int(number[1]) if len(number[1]) < 10 else names.size
        if token_id >= names.size:
            raise GbnfError(f"the model has {names.size} tokens, and none of this number", offset)
        return token_id
    if written.startswith("<["):
        raise GbnfError("the number of a token is expected between '<[' and ']>'", offset)
    found = names.tokenize(written, add_special=False, parse_special=True)
    if len(found) != 1:
        raise GbnfError(f"'{written[:100]}' is not one token of this model", offset)
    return found[0]
