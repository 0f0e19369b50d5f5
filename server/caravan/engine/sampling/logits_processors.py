"""What changes a row of logits before any token is left out: rules of single tokens, penalties, DRY."""

from array import array
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Protocol

import numpy as np

from caravan.engine.params import SamplingParams
from caravan.engine.sampling.candidates import Floats, Ids
from caravan.llama import rows

# Beyond this a power of the base is no float any more.
_LOG_FLOAT_MAX = 88.7228391

# More than enough, and still far from infinity: DRY makes tokens unlikely, it does not ban them.
_MAX_PENALTY = 1e20

# Head token -> the tails that complete a breaker after it; an empty tail is a breaker of one token.
Breakers = Mapping[int, tuple[tuple[int, ...], ...]]


class LogitsProcessor(Protocol):
    """Knows the text so far, the prompt first, and changes rows by it."""

    def accept(self, token_ids: Iterable[int]) -> None:
        """Note the next tokens of the text."""

    def apply(self, logits: Floats) -> None:
        """Change a row of logits [vocab_size] in place."""


class VocabularyRules:
    """Which tokens may come at all: bias, bans, allowed tokens, forbidden words, and no early end.

    `end_ids` are the tokens that end generation by the model's own wish.
    """

    def __init__(self, params: SamplingParams, end_ids: Collection[int], num_prompt_tokens: int) -> None:
        self._bias_ids = _ids(token_id for token_id, _ in params.logit_bias)
        self._bias = np.array([bias for _, bias in params.logit_bias], np.float32)
        allowed = params.allowed_token_ids
        self._allowed = None if allowed is None else np.unique(_ids(allowed))
        single = [words[0] for words in params.bad_words if len(words) == 1]
        self._banned = _ids([*single, *(end_ids if params.ignore_eos else ())])
        self._early = _ids({*end_ids, *params.stop_token_ids})
        # By the token before the last, so that a thousand of them cost a draw no more than one.
        self._phrases: dict[int, list[tuple[list[int], int]]] = {}
        self._longest = 0
        for *before, last in (words for words in params.bad_words if len(words) > 1):
            self._phrases.setdefault(before[-1], []).append((before, last))
            self._longest = max(self._longest, len(before))
        self._tail: list[int] = []
        self._num_early = params.min_tokens and num_prompt_tokens + params.min_tokens
        self._num_tokens = 0

    @property
    def is_neutral(self) -> bool:
        """Whether no row is ever changed."""
        sizes = (len(self._bias_ids), len(self._banned), len(self._phrases), self._num_early)
        return self._allowed is None and not any(sizes)

    def accept(self, token_ids: Iterable[int]) -> None:
        """Note the next tokens of the text."""
        token_ids = list(token_ids)
        self._num_tokens += len(token_ids)
        if self._longest:
            self._tail = [*self._tail, *token_ids][-self._longest :]

    def apply(self, logits: Floats) -> None:
        """Change a row of logits [vocab_size] in place."""
        logits[self._bias_ids] += self._bias
        if self._allowed is not None:
            kept = logits[self._allowed]
            logits.fill(-np.inf)
            logits[self._allowed] = kept
        logits[self._banned] = -np.inf
        if self._num_tokens < self._num_early:
            logits[self._early] = -np.inf
        for before, last in self._phrases.get(self._tail[-1], ()) if self._tail else ():
            if self._tail[-len(before) :] == before:
                logits[last] = -np.inf


def _ids(token_ids: Iterable[int]) -> Ids:
    return np.array(list(token_ids), np.int32)


class RepetitionPenalties:
    """Repeat, presence and frequency penalty over the last `window` tokens (`llama_sampler_init_penalties`).

    A token seen c > 0 times: its logit is divided by `repeat` if positive, else multiplied (Keskar et al.
    2019, with the usual repair for negative logits), then lowered by c x `frequency` + `presence`. A window
    of -1 is the whole text. Work per step grows with the distinct tokens in it, not with the vocabulary.
    """

    def __init__(self, *, repeat: float, presence: float, frequency: float, window: int) -> None:
        self._strengths = repeat, presence, frequency
        self._recent: deque[int] = deque(maxlen=None if window < 0 else window)
        # Of each token in the window, and where it stands in both.
        self._ids, self._counts = array("i"), array("i")
        self._places: dict[int, int] = {}

    def accept(self, token_ids: Iterable[int]) -> None:
        """Take tokens into the window, the oldest going out."""
        recent = self._recent
        for token_id in token_ids:
            if recent.maxlen == 0:
                return
            if len(recent) == recent.maxlen:
                self._drop(recent[0])
            recent.append(token_id)
            place = self._places.setdefault(token_id, len(self._ids))
            if place == len(self._ids):
                self._ids.append(token_id)
                self._counts.append(0)
            self._counts[place] += 1

    def apply(self, logits: Floats) -> None:
        """Change a row of logits [vocab_size] in place."""
        if not self._ids or rows.penalize(logits, self._ids, self._counts, *self._strengths):
            return
        repeat, presence, frequency = (np.float32(strength) for strength in self._strengths)
        ids, counts = np.frombuffer(self._ids, np.int32), np.frombuffer(self._counts, np.int32)
        seen = logits[ids]
        seen = np.where(seen <= 0, seen * repeat, seen / repeat)
        logits[ids] = seen - (counts.astype(np.float32) * frequency + presence)

    def _drop(self, token_id: int) -> None:
        place = self._places[token_id]
        self._counts[place] -= 1
        if self._counts[place] == 0:
            del self._places[token_id]
            last, count = self._ids.pop(), self._counts.pop()
            if last != token_id:
                self._ids[place], self._counts[place] = last, count
                self._places[last] = place


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


def repetition_penalties(params: SamplingParams) -> Iterator[RepetitionPenalties]:
    """Make the penalties that have an effect, if any."""
    strengths = (params.repeat_penalty - 1, params.presence_penalty, params.frequency_penalty)
    if params.repeat_last_n != 0 and any(strengths):
        yield RepetitionPenalties(
            repeat=params.repeat_penalty,
            presence=params.presence_penalty,
            frequency=params.frequency_penalty,
            window=params.repeat_last_n,
        )


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
