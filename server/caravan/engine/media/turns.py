"""Which steps compute cells of images: llama.cpp takes tokens or embeddings in a batch, never both."""

from collections.abc import Callable

from caravan.engine.media.mapped import MappedRun, num_until_run, run_at
from caravan.engine.sequence import Sequence
from caravan.engine.work import Work

# As of steps of prompts, one of so many is for the oldest of them.
_OLDEST_EVERY = 4


class MediaTurns:
    """Images and texts take turns, a step each, while there are both. A step has cells of one image, as many
    as it would have tokens of prompts; or all of one that is not causal, whatever it takes. Who misses least
    is first, but in every fourth of these steps who came first, so that shorter prompts cannot starve it.
    """

    def __init__(self) -> None:
        self._is_of_images = False
        self._num_of_images = 0

    def choose(
        self, ready: list[Sequence], first: Callable[[Sequence], float]
    ) -> tuple[list[Sequence], Sequence | None]:
        """Leave those whose next cell is a token, or name the one whose image is computed: one of those that
        are `first`.
        """
        looking = [s for s in ready if s.media and next_run(s) is not None]
        if not looking:
            return ready, None
        reading = [s for s in ready if s not in looking]
        self._is_of_images = not (self._is_of_images and reading)
        if not self._is_of_images:
            return reading, None
        self._num_of_images += 1
        is_of_oldest = self._num_of_images % _OLDEST_EVERY == 0
        return [], min(
            looking, key=lambda s: (first(s), 0 if is_of_oldest else s.num_missing_tokens, s.arrival)
        )


def next_run(sequence: Sequence) -> MappedRun | None:
    """The run that has the next cell to be computed, unless that is a token."""
    return run_at(sequence.media, sequence.num_computed_tokens)


def piece_of(sequence: Sequence, budget: int) -> Work:
    """The next cells of an image, at most so many where it may be computed in pieces."""
    run, start = next_run(sequence), sequence.num_computed_tokens
    assert run is not None
    count = run.end - start
    if run.is_causal:
        count = min(count, max(1, budget))
    return Work(sequence, count, completes=count == sequence.num_missing_tokens, run=run)


def num_until_image(sequence: Sequence, size: int) -> int:
    """Cut so many of the next tokens to those before the next image."""
    until = num_until_run(sequence.media, sequence.num_computed_tokens)
    return size if until is None else min(size, until)
