"""What drafts are worth: tokens a second with them and without."""

import heapq
import math
from collections.abc import Iterable
from dataclasses import dataclass

from caravan.engine.drafts.chain import Acceptance

# Less of a gain than this is not worth the risk that it is none.
_MIN_GAIN = 1.1
# Where several streams share a step, none of them is to wait longer than this times a step without drafts.
_MOST_LENGTHENED = 1.5
# What the draft model takes for a token, before it is known: this share of a step.
_HOPED = 0.2
# So much is guessed for comparison, once in so many times that it was not worth it.
_TRIAL = 2
_STEPS_BETWEEN_TRIALS = 64


@dataclass(frozen=True, slots=True)
class Chance:
    """The draft of the sequence in this place has `length` tokens; each is right at this rate, if those
    before it are.
    """

    place: int
    rate: float
    length: int


def num_worth(chances: Iterable[Chance], num_streams: int, room: int, curve: list[float]) -> list[int]:
    """Choose from drafts the likeliest tokens, as many as bring the most tokens a second: the place of each.

    `curve` has the seconds of a step without drafts, with one row more, and so on. At most `room` are chosen.
    """
    waiting = [(-chance.rate, chance.place, chance.rate, chance.length) for chance in chances]
    heapq.heapify(waiting)
    places: list[int] = []
    longest = math.inf if num_streams == 1 else _MOST_LENGTHENED * curve[0]
    expected, best, num_best = float(num_streams), _MIN_GAIN * num_streams / curve[0], 0
    while waiting and len(places) < min(room, len(curve) - 1):
        likely, place, rate, left = heapq.heappop(waiting)
        if left > 1:
            heapq.heappush(waiting, (likely * rate, place, rate, left - 1))
        places.append(place)
        expected -= likely
        seconds = curve[len(places)]
        if seconds <= longest and expected / seconds > best:
            best, num_best = expected / seconds, len(places)
    return places[:num_best]


class ModelPace:
    """How many tokens the draft model should guess: unlike the guesses of others, its own take time."""

    def __init__(self) -> None:
        self._num_idle = 0

    def num_worth(
        self, acceptance: Acceptance, most: int, curve: list[float] | None, seconds: float | None
    ) -> int:
        """Choose how many, where each takes so many seconds, if that is known; none while steps are not.

        Where it was not worth it for a while, a few are for comparison: texts change.
        """
        if curve is None or most <= 0:
            return 0
        each = _HOPED * curve[0] if seconds is None else seconds
        best, num_best = _MIN_GAIN / curve[0], 0
        for count in range(1, min(most, len(curve) - 1) + 1):
            worth = (1 + acceptance.expected(count)) / (curve[count] + count * each)
            if worth > best:
                best, num_best = worth, count
        self._num_idle = 0 if num_best else self._num_idle + 1
        if self._num_idle >= _STEPS_BETWEEN_TRIALS:
            self._num_idle, num_best = 0, min(_TRIAL, most)
        return num_best
