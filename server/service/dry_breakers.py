"""DRY's breakers: texts into the token sequences by which a text can contain them."""

from collections.abc import Iterator, Sequence

from server.loaded_model import TextVocab

MAX_BYTES = 40
MAX_TAIL = 20


class LongBreakerError(ValueError):
    """A breaker is longer than llama.cpp's limits, where llama.cpp would cut it."""


def sequences(vocab: TextVocab, breaker: str) -> tuple[tuple[int, ...], ...]:
    """Token sequences that contain the breaker (`get_overlapping_token_sequences` of llama.cpp).

    A token with the whole breaker in it is one by itself. One that ends with the breaker's beginning heads a
    sequence that the rest's own tokens complete. Looks at every token: some 20 ms for 150,000 of them.
    """
    data = breaker.encode()
    if len(data) > MAX_BYTES:
        raise LongBreakerError(f"has {len(data)} bytes, and at most {MAX_BYTES} are allowed")
    tails = _tails(vocab, breaker)
    beginnings = tuple(tails)
    found: list[tuple[int, ...]] = []
    for token_id in range(vocab.size):
        piece = vocab.token_bytes(token_id) or vocab.token_text(token_id).encode()
        if data in piece:
            found.append((token_id,))
        elif beginnings and piece.endswith(beginnings):
            found.extend((token_id, *tails[start]) for start in beginnings if piece.endswith(start))
    return tuple(found)


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
