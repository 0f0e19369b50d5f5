"""DRY: against repeating whole passages ("don't repeat yourself", p-e-w; `llama_sampler_init_dry`)."""

from collections.abc import Iterable, Mapping

import numpy as np

from caravan.engine.sampling.candidates import Floats

# Beyond this a power of the base is no float any more.
_LOG_FLOAT_MAX = 88.7228391

# More than enough, and still far from infinity: DRY makes tokens unlikely, it does not ban them.
_MAX_PENALTY = 1e20

# Head token -> the tails that complete a breaker after it; an empty tail is a breaker of one token.
Breakers = Mapping[int, tuple[tuple[int, ...], ...]]


class Dry:
    """Lowers a token that would make the text's end repeat an earlier passage.

    If the last L tokens, L >= `allowed_length`, stood earlier and token t followed, t loses
    `multiplier` x `base` ^ (L - `allowed_length`); the longest such L counts. A passage never reaches over a
    breaker. Looks at the last `window` tokens, -1 being all.
    """

    def __init__(
        self, *, multiplier: float, base: float, allowed_length: int, window: int, breakers: Breakers
    ) -> None:
        self._multiplier = multiplier
        self._base = base
        self._allowed_length = allowed_length
        self._window = window
        self._breakers = breakers
        self._max_exponent = int(_LOG_FLOAT_MAX / np.log(base)) if base > 1.000001 else 0
        self._text: list[int] = []

    def accept(self, token_ids: Iterable[int]) -> None:
        """Append to the text."""
        self._text.extend(token_ids)

    def apply(self, logits: Floats) -> None:
        """Change a row of logits [vocab_size] in place."""
        recent = self._text[-self._window :] if self._window > 0 else self._text
        if len(recent) <= self._allowed_length:
            return
        limit = self._distance_to_breaker(recent)
        if limit < self._allowed_length:
            return
        for token_id, length in longest_repeats(recent, limit).items():
            if length < self._allowed_length or () in self._breakers.get(token_id, ()):
                continue
            exponent = length - self._allowed_length
            if self._max_exponent > 0:
                exponent = min(exponent, self._max_exponent)
            logits[token_id] -= np.float32(min(self._multiplier * self._base**exponent, _MAX_PENALTY))

    def _distance_to_breaker(self, recent: list[int]) -> int:
        """How many tokens follow the last complete breaker."""
        last = len(recent) - 1
        for distance in range(len(recent)):
            tails = self._breakers.get(recent[last - distance], ())
            start = last - distance + 1
            lengths = [len(tail) for tail in tails if tuple(recent[start : start + len(tail)]) == tail]
            if lengths:
                return distance - max(lengths)
        return len(recent)


def longest_repeats(recent: list[int], limit: int) -> dict[int, int]:
    """For each token that followed an earlier copy of the text's end: the longest such copy, at most `limit`.

    The Z-function of the reversed text gives, for every earlier place, how much of the end stands there.
    """
    text = recent[::-1]
    repeats: dict[int, int] = {}
    for place, length in enumerate(_z_function(text)):
        if place > 0 and length > 0:
            follower = text[place - 1]
            repeats[follower] = max(repeats.get(follower, 0), min(length, limit))
    return repeats


def _z_function(text: list[int]) -> list[int]:
    """For each place, how long a prefix of the text starts there; linear time (Gusfield 1997)."""
    size = len(text)
    z = [0] * size
    left = right = 0
    for place in range(1, size):
        length = min(right - place, z[place - left]) if place < right else 0
        while place + length < size and text[length] == text[place + length]:
            length += 1
        z[place] = length
        if place + length > right:
            left, right = place, place + length
    return z
