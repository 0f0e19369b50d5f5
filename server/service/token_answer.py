"""The answer of `/tokenize` as JSON, made piece by piece: a text of megabytes has millions of tokens."""

from array import array
from collections.abc import Callable, Iterator, Sequence

import msgspec

from schemas.tokenize import TokenizeRequest
from server.loaded_model import TextVocab

# Some milliseconds of work, and some hundred kilobytes of JSON.
_AT_ONCE = 8192


def token_answer(
    request: TokenizeRequest, vocab: TextVocab, token_ids: "array[int]", context_size: int
) -> Iterator[bytes]:
    """Pieces of the JSON, in order."""
    yield b'{"tokens":'
    yield from _list(token_ids, lambda ids: _with_pieces(vocab, ids) if request.with_pieces else ids.tolist())
    yield b',"count":%d,"max_model_len":%d' % (len(token_ids), context_size)
    if request.return_token_strs:
        yield b',"token_strs":'
        yield from _list(
            token_ids, lambda ids: [vocab.raw_bytes(token_id).decode(errors="replace") for token_id in ids]
        )
    if request.return_token_bytes:
        yield b',"token_bytes":'
        yield from _list(token_ids, lambda ids: [list(vocab.raw_bytes(token_id)) for token_id in ids])
    yield b"}"


def _list(token_ids: "array[int]", shown: Callable[["array[int]"], Sequence[object]]) -> Iterator[bytes]:
    """An array that has what is `shown` of each token."""
    opening = b"["
    for start in range(0, len(token_ids), _AT_ONCE):
        encoded = msgspec.json.encode(shown(token_ids[start : start + _AT_ONCE]))
        yield opening + encoded[1:-1]
        opening = b","
    yield b"]" if token_ids else b"[]"


def _with_pieces(vocab: TextVocab, token_ids: "array[int]") -> list[dict[str, object]]:
    return [{"id": token_id, "piece": _piece(vocab.raw_bytes(token_id))} for token_id in token_ids]


def _piece(piece: bytes) -> str | list[int]:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return list(piece)
