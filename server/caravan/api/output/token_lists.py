"""The answer of `/tokenize` as JSON, made piece by piece: a text of megabytes has millions of tokens."""

from array import array
from collections.abc import Callable, Iterator

import msgspec
from caravan_schemas.tokenize import TokenizeRequest

from caravan.models.loaded_model import TextVocab

# Some milliseconds of work, and some hundred kilobytes of JSON.
_AT_ONCE = 8192


def token_answer(
    request: TokenizeRequest, vocab: TextVocab, token_ids: "array[int]", context_size: int
) -> Iterator[bytes]:
    """Pieces of the JSON, in order."""

    def with_piece(token_id: int) -> object:
        return {"id": token_id, "piece": _piece(vocab.raw_bytes(token_id))}

    yield b'{"tokens":'
    yield from _list(token_ids, with_piece if request.with_pieces else int)
    yield b',"count":%d,"max_model_len":%d' % (len(token_ids), context_size)
    if request.return_token_strs:
        yield b',"token_strs":'
        yield from _list(token_ids, lambda token_id: vocab.raw_bytes(token_id).decode(errors="replace"))
    if request.return_token_bytes:
        yield b',"token_bytes":'
        yield from _list(token_ids, lambda token_id: list(vocab.raw_bytes(token_id)))
    yield b"}"


class _Written(dict[int, bytes]):
    """What is shown of each token as JSON, written once for all the places where it stands."""

    def __init__(self, shown: Callable[[int], object]) -> None:
        super().__init__()
        self._shown = shown

    def __missing__(self, token_id: int) -> bytes:
        written = self[token_id] = msgspec.json.encode(self._shown(token_id))
        return written


def _list(token_ids: "array[int]", shown: Callable[[int], object]) -> Iterator[bytes]:
    """An array that has what is `shown` of each token."""
    written = _Written(shown)
    opening = b"["
    for start in range(0, len(token_ids), _AT_ONCE):
        yield opening + b",".join(map(written.__getitem__, token_ids[start : start + _AT_ONCE]))
        opening = b","
    yield b"]" if token_ids else b"[]"


def _piece(piece: bytes) -> str | list[int]:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return list(piece)
