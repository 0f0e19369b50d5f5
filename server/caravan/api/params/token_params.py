"""Parameters about tokens: texts into token ids, ids held to the vocabulary, and no way into a dead end."""

import functools
import math
from collections.abc import Callable, Collection, Iterable

from caravan.api.params.resolved import ResolvedParams
from caravan.engine.params import SamplingParams
from caravan.errors import InvalidRequestError, InvalidValueError
from caravan.models.loaded_model import TextVocab

# llama.cpp's own limits of a breaker of DRY, beyond which it cuts: bytes, and tokens of its rest.
_MAX_BREAKER_BYTES = 40
_MAX_BREAKER_TAIL = 20

_MAX_BREAKERS = 512
_MAX_VOCABULARIES = 4

Sequences = tuple[tuple[int, ...], ...]


def checked_ids(name: str, token_ids: object, vocab: TextVocab) -> list[int]:
    """Read a list of token ids, held to the vocabulary; empty where it is none."""
    if not isinstance(token_ids, list):
        return []
    for index, token_id in enumerate(token_ids):
        if token_id >= vocab.size:
            param = f"{name}[{index}]"
            raise InvalidValueError(param, f"must be from 0 to {vocab.size - 1}, the model's token ids")
    return token_ids


def biases(pairs: object, vocab: TextVocab) -> dict[int, float]:
    """Read what is added to each token; several biases of one token add up."""
    total: dict[int, float] = {}
    for token, bias in pairs if isinstance(pairs, tuple) else ():
        added = -math.inf if bias is False else bias
        for token_id in _tokens_of(token, vocab):
            total[token_id] = total.get(token_id, 0.0) + added
    return total


def _tokens_of(token: int | str, vocab: TextVocab) -> Iterable[int]:
    if isinstance(token, str):
        return set(vocab.tokenize(token, add_special=False, parse_special=False))
    if 0 <= token < vocab.size:
        return (token,)
    raise InvalidValueError(
        "logit_bias", f"must have token ids from 0 to {vocab.size - 1}, and {token} is none"
    )


def bad_words(words: object, vocab: TextVocab) -> Sequences:
    """Tokenize each text with and without a space before it, since these are different tokens."""
    sequences: dict[tuple[int, ...], None] = {}
    for word in words if isinstance(words, list) else ():
        bare = word.lstrip(" ") or word
        for text in (bare, f" {bare}", word):
            token_ids = tuple(vocab.tokenize(text, add_special=False, parse_special=False))
            if token_ids:
                sequences[token_ids] = None
    return tuple(sequences)


def check_tokens(resolved: ResolvedParams, params: SamplingParams, vocab: TextVocab) -> None:
    """Refuse what leaves no token to draw, at the first draw or at a later one, and what cannot matter."""
    ends, allowed_ids = vocab.end_of_generation_ids, params.allowed_token_ids
    banned = {token_id for token_id, bias in params.logit_bias if bias == -math.inf}
    banned |= {words[0] for words in params.bad_words if len(words) == 1}
    banned |= ends if params.ignore_eos else frozenset()
    # A longer bad word bans its last token now and then.
    sometimes = {words[-1] for words in params.bad_words}
    early = {*ends, *params.stop_token_ids} if params.min_tokens else set()
    allowed = range(vocab.size) if allowed_ids is None else allowed_ids
    names = [] if allowed_ids is None else ["allowed_token_ids"]
    names += (
        name for name in ("logit_bias", "bad_words", "ignore_eos") if resolved[name] not in (None, False)
    )
    if not _leaves(allowed, banned | sometimes):
        raise _dead_end(names)
    if not _leaves(allowed, banned | sometimes | early):
        raise _dead_end([*names, "min_tokens"])
    possible = set(allowed) - banned if params.stop_token_ids else set()
    if params.stop_token_ids and not possible & set(params.stop_token_ids):
        raise InvalidValueError("stop_token_ids", f"has no effect beside {_listed(names)}: none may come")
    biased = {token_id for token_id, _ in params.logit_bias}
    if allowed_ids is not None and biased and not biased & set(allowed_ids):
        raise InvalidValueError(
            "logit_bias", "has no effect beside 'allowed_token_ids': it has none of the allowed tokens"
        )


def _leaves(allowed: Collection[int], banned: Collection[int]) -> bool:
    return len(allowed) > len(banned) or any(token_id not in banned for token_id in allowed)


def _dead_end(names: list[str]) -> InvalidRequestError:
    message = f"{_listed(names)} can leave no token to draw."
    return InvalidRequestError(message, param=names[0], code="invalid_value")


def _listed(names: list[str]) -> str:
    return " and ".join(f"'{name}'" for name in names)


class LongBreakerError(ValueError):
    """A breaker is longer than llama.cpp's limits, where llama.cpp would cut it."""


class DryBreakers:
    """Finds the token sequences of breakers, and remembers the latest."""

    def __init__(self) -> None:
        self._pieces: Callable[..., tuple[bytes, ...]] = functools.lru_cache(_MAX_VOCABULARIES)(_pieces)
        self._found: Callable[..., Sequences] = functools.lru_cache(_MAX_BREAKERS)(self._find)

    def of(self, resolved: ResolvedParams, vocab: TextVocab) -> Sequences:
        """Find those of all breakers of a request. Raises InvalidValueError."""
        found: dict[tuple[int, ...], None] = {}
        for index, breaker in enumerate(resolved.items("dry_sequence_breakers")):
            try:
                found |= dict.fromkeys(self.sequences(vocab, str(breaker)))
            except LongBreakerError as error:
                raise InvalidValueError(f"dry_sequence_breakers[{index}]", f"{error}") from error
        return tuple(found)

    def sequences(self, vocab: TextVocab, breaker: str) -> Sequences:
        """Token sequences that contain the breaker (`get_overlapping_token_sequences` of llama.cpp).

        A token with the whole breaker in it is one by itself. One that ends with the breaker's beginning
        heads a sequence that the rest's own tokens complete. Raises LongBreakerError.
        """
        return self._found(vocab, breaker)

    def _find(self, vocab: TextVocab, breaker: str) -> Sequences:
        data = breaker.encode()
        if len(data) > _MAX_BREAKER_BYTES:
            raise LongBreakerError(f"has {len(data)} bytes, and at most {_MAX_BREAKER_BYTES} are allowed")
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
    found: dict[bytes, tuple[int, ...]] = {}
    for cut in range(1, len(breaker)):
        tail = tuple(vocab.tokenize(breaker[cut:], add_special=False, parse_special=False))
        if len(tail) > _MAX_BREAKER_TAIL:
            raise LongBreakerError(
                f"has {len(tail)} tokens after '{breaker[:cut]}', at most {_MAX_BREAKER_TAIL} are allowed"
            )
        found[breaker[:cut].encode()] = tail
    return found
