"""DRY's breakers: texts into the token sequences by which a text can contain them."""

import functools
from collections.abc import Callable, Iterator, Sequence

from caravan.models.loaded_model import TextVocab

MAX_BYTES = 40
MAX_TAIL = 20

_MAX_BREAKERS = 512
_MAX_VOCABULARIES = 4

Sequences = tuple[tuple[int, ...], ...]


class LongBreakerError(ValueError):
    """A breaker is longer than llama.cpp's limits, where llama.cpp would cut it."""


class DryBreakers:
    """Finds the token sequences of breakers, and remembers the latest."""

    def __init__(self) -> None:
        self._pieces: Callable[..., tuple[bytes, ...]] = functools.lru_cache(_MAX_VOCABULARIES)(_pieces)
        self._found: Callable[..., Sequences] = functools.lru_cache(_MAX_BREAKERS)(self._find)

    def sequences(self, vocab: TextVocab, breaker: str) -> Sequences:
        """Token sequences that contain the breaker (`get_overlapping_token_sequences` of llama.cpp).

        A token with the whole breaker in it is one by itself. One that ends with the breaker's beginning
        heads a sequence that the rest's own tokens complete. Raises LongBreakerError.
        """
        return self._found(vocab, breaker)

    def _find(self, vocab: TextVocab, breaker: str) -> Sequences:
        data = breaker.encode()
        if len(data) > MAX_BYTES:
            raise LongBreakerError(f"has {len(data)} bytes, and at most {MAX_BYTES} are allowed")
        tails = _tails(vocab, breaker)
        beginnings = tuple(tails)
        pieces = self._pieces(vocab)
        found = [(token_id,) for token_id, piece in enumerate(pieces) if data in piece]
        if not beginnings:
            return tuple(found)
        heads = [i for i, piece in enumerate(pieces) if piece.endswith(beginnings) and data not in piece]
        return (
            *found,
            *((i, *tails[start]) for i in heads for start in beginnings if pieces[i].endswith(start)),
        )


def _pieces(vocab: TextVocab) -> tuple[bytes, ...]:
    """All tokens as people write them, control tokens included."""
    return tuple(vocab.token_bytes(i) or vocab.token_text(i).encode() for i in range(vocab.size))


def _tails(vocab: TextVocab, breaker: str) -> dict[bytes, tuple[int, ...]]:
    """Beginnings of the breaker, whole characters only, each with the tokens of the rest."""
    return dict(_split(vocab, breaker))


def _split(vocab: TextVocab, breaker: str) -> Iterator[tuple[bytes, tuple[int, ...]]]:
    for cut in range(1, len(breaker)):
        tail: Sequence[int] = vocab.tokenize(breaker[cut:], add_special=False, parse_special=False)
        if len(tail) > MAX_TAIL:
            raise LongBreakerError(
                f"has {len(tail)} tokens after '{breaker[:cut]}', at most {MAX_TAIL} are allowed"
            )
        yield breaker[:cut].encode(), tuple(tail)
