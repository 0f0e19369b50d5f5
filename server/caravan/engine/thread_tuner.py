"""With how many threads steps go quickest, learned from the steps themselves.

More threads are not always quicker: they wait for each other after every operation, so one that others keep
from running holds up all, and where memory is the limit a second brings nothing. What is computed is the
same to the last bit (`Context.can_change_threads`).
"""

import dataclasses
import time

from caravan.config.engine_config import EngineConfig
from caravan.engine.drafts.draft_model import DraftModel
from caravan.engine.interfaces import DecodingContext

# A number of threads is looked at for so many steps and seconds; or given up after a few steps, when it is as
# much slower as that.
_LOOK_STEPS = 8
_LOOK_SECONDS = 0.25
_FEW_STEPS = 3
_MUCH_SLOWER = 1.25
# Two steps are enough to see this.
_HOPELESS = 2.0
# Another number is taken if steps take at most this share of the time: measurements are not exact.
_BETTER = 0.94
# Seconds of computing before a number that was no better is tried again; twice as long each time.
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 64.0
# A thread that gets less of a processor than this shares it with others. More are not tried then, since
# a step in which two wait for each other may take a second.
_UNSHARED = 0.9
# Steps that take so much longer or shorter than they did say that the machine is another now.
_CHANGED = 1.3
# Share of a step in the running mean by which that is seen; one that was held up counts as this many.
_NEWS = 0.1
_MOST_NEWS = 2.0
# From so many rows on, a step counts by what a row of it took, beside others of about as many.
_MANY_ROWS = 32


@dataclasses.dataclass(slots=True)
class _Look:
    """What steps of each number of rows took: how many, and seconds together. For `waited` of all these
    seconds there was no processor.
    """

    counts: dict[int, int] = dataclasses.field(default_factory=dict)
    seconds: dict[int, float] = dataclasses.field(default_factory=dict)
    num_steps: int = 0
    total: float = 0.0
    waited: float = 0.0

    def add(self, num_rows: int, seconds: float, waited: float) -> None:
        self.counts[num_rows] = self.counts.get(num_rows, 0) + 1
        self.seconds[num_rows] = self.seconds.get(num_rows, 0.0) + seconds
        self.num_steps += 1
        self.total += seconds
        self.waited += waited

    @property
    def is_enough(self) -> bool:
        return self.num_steps >= _LOOK_STEPS and self.total >= _LOOK_SECONDS

    def mean(self, num_rows: int) -> float:
        return self.seconds[num_rows] / self.counts[num_rows]

    def ratio(self, other: "_Look") -> float | None:
        """How many times as long as in `other` steps of equal numbers of rows took; None without any."""
        common = self.counts.keys() & other.counts.keys()
        if not common:
            return None
        expected = sum(self.counts[rows] * other.mean(rows) for rows in common)
        return sum(self.seconds[rows] for rows in common) / expected


class ThreadTuner:
    """Tries fewer and more threads, from 1 to `most`, now and then for a few steps, and stays with the best.

    A try that brings nothing is repeated ever more rarely, and soon when steps have become slower or quicker.
    With `is_limited_by_arithmetic`, fewer are tried only while others use the processors.
    """

    def __init__(self, most: int, *, is_limited_by_arithmetic: bool = False) -> None:
        self._is_limited_by_arithmetic = is_limited_by_arithmetic
        self._numbers = _ladder(most)
        self._near = [_neighbours(self._numbers, place) for place in range(len(self._numbers))]
        self._place = len(self._numbers) - 1
        self._trial: int | None = None
        # The number in use, as seen just before a try, and the number that is tried.
        self._usual, self._tried = _Look(), _Look()
        self._seen_at = 0.0
        self._drift = 1.0
        self._clock = 0.0
        self._pauses = [_FIRST_PAUSE] * len(self._numbers)
        self._due = [0.0] * len(self._numbers)

    @property
    def num_threads(self) -> int:
        """How many threads the next step is to have."""
        return self._numbers[self._place if self._trial is None else self._trial]

    @property
    def is_trying(self) -> bool:
        """Whether the next step says nothing about those to come."""
        return self._trial is not None

    def observe(self, num_rows: int, seconds: float, waited: float = 0.0) -> None:
        """Learn from a step of so many rows, computed with `num_threads`. For `waited` seconds of it, this
        thread had no processor.
        """
        if len(self._numbers) == 1:
            return
        self._clock += seconds
        if num_rows >= _MANY_ROWS:
            scale = (size := 1 << num_rows.bit_length()) / num_rows
            num_rows, seconds, waited = size, seconds * scale, waited * scale
        if self._trial is not None:
            self._tried.add(num_rows, seconds, waited)
            self._judge(self._trial)
            return
        self._watch(num_rows, seconds, waited)
        due = [place for place in self._near[self._place] if self._due[place] <= self._clock]
        if not due or not self._usual.is_enough:
            return
        if self._clock - self._seen_at > self._usual.total:
            # What a try is held against is to be from just before.
            self._forget()
            return
        worth = [place for place in due if self._is_worth_trying(place)]
        if worth:
            self._trial, self._tried = min(worth, key=lambda place: self._due[place]), _Look()
        else:
            for place in due:
                self._due[place] = self._clock + _FIRST_PAUSE

    def _watch(self, num_rows: int, seconds: float, waited: float) -> None:
        """Note a step with the usual number, and whether such steps take as long as they did."""
        if not self._usual.is_enough:
            self._usual.add(num_rows, seconds, waited)
            self._seen_at = self._clock
        elif num_rows in self._usual.counts:
            news = min(_MOST_NEWS, seconds / self._usual.mean(num_rows))
            self._drift += _NEWS * (news - self._drift)
            if not 1 / _CHANGED < self._drift < _CHANGED:
                self._retry(0.0)
        else:
            self._forget()

    def _judge(self, trial: int) -> None:
        """End a try as soon as it has shown enough."""
        ratio, num_steps = self._tried.ratio(self._usual), self._tried.num_steps
        is_slow = ratio is not None and (
            (num_steps >= 2 and ratio > _HOPELESS) or (num_steps >= _FEW_STEPS and ratio > _MUCH_SLOWER)
        )
        if not (is_slow or self._tried.is_enough):
            return
        self._trial = None
        if ratio is not None and ratio < _BETTER:
            self._place = trial
            self._retry(_FIRST_PAUSE)
            return
        self._due[trial] = self._clock + self._pauses[trial]
        self._pauses[trial] = min(2 * self._pauses[trial], _LONGEST_PAUSE)
        self._forget()

    def _retry(self, pause: float) -> None:
        """Have all numbers tried anew, after so many seconds."""
        self._pauses = [_FIRST_PAUSE] * len(self._numbers)
        self._due = [self._clock + pause] * len(self._numbers)
        self._forget()

    def _forget(self) -> None:
        self._usual, self._drift = _Look(), 1.0

    def _is_worth_trying(self, place: int) -> bool:
        is_alone = self._usual.waited <= (1 - _UNSHARED) * self._usual.total
        if place > self._place:
            return is_alone
        return not (is_alone and self._is_limited_by_arithmetic)


def _neighbours(numbers: list[int], place: int) -> set[int]:
    """Places of the next fewer, half as many, and the next more: one less may be no better where half is."""
    halves = [fewer for fewer in range(place) if 2 * numbers[fewer] <= numbers[place]]
    return {place - 1, place + 1, *halves[-1:]} & set(range(len(numbers)))


def _ladder(most: int) -> list[int]:
    """Numbers to choose from: all, one less (a processor is left for the rest), half, powers of two."""
    powers = (1 << bits for bits in range(most.bit_length()))
    return sorted({*powers, max(1, most // 2), max(1, most - 1), most})


class StepThreads:
    """Has each step computed with the threads that are best for its kind: prompts are limited by arithmetic,
    answers by memory. Fixed where the context or the configuration wants that. One thread only.

    A draft model computes between steps, on the same threads: it waits for a busy processor as they do.
    """

    def __init__(
        self, context: DecodingContext, config: EngineConfig, draft_model: DraftModel | None = None
    ) -> None:
        own: list[DraftModel] = [] if draft_model is None else [draft_model]
        self._computing: list[DecodingContext | DraftModel] = [context, *own]
        most = config.num_threads if config.adapts_threads and context.can_change_threads else 1
        self._is_fixed = most == 1
        self._answers = ThreadTuner(most)
        # A try with fewer would hold up streams beside a prompt.
        self._prompts = ThreadTuner(most, is_limited_by_arithmetic=True)
        self._tuner = self._answers
        self._num_threads = most
        # When the last step ended, if it was one of answers alone.
        self._ended: float | None = None
        # Seconds of a processor that this thread had had before the step.
        self._used = 0.0

    def begin(self, *, has_prompts: bool) -> bool:
        """Choose the threads of the next step; whether what it takes will say something about others."""
        if self._is_fixed:
            return True
        self._tuner = self._prompts if has_prompts else self._answers
        if (wanted := self._tuner.num_threads) != self._num_threads:
            for one in self._computing:
                one.compute_with(wanted)
            self._num_threads = wanted
        self._used = time.thread_time()
        return not self._tuner.is_trying

    def end(self, num_rows: int, started: float, ended: float, *, is_done: bool) -> None:
        """Learn from the step. Between steps of answers, what has passed is a part of them: drawing and
        writing are quicker, too, where a processor is left for them.
        """
        if self._is_fixed:
            return
        is_answer, spent = self._tuner is self._answers, ended - started
        between = started - self._ended if is_answer and self._ended is not None else 0.0
        if is_done:
            waited = max(0.0, spent - (time.thread_time() - self._used))
            self._tuner.observe(num_rows, spent + min(between, spent), waited)
        self._ended = ended if is_done and is_answer else None
