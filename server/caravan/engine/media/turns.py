"""Which steps compute cells of images: llama.cpp takes tokens or embeddings in a batch, never both."""

from collections.abc import Callable

from caravan.engine.media.mapped import MappedRun, num_until_run, run_at
from caravan.engine.sequence import Sequence
from caravan.engine.work import Work


class MediaTurns:
    """Images and texts take turns, a step each, while there are both. A step has cells of one image, as many
    as it would have tokens of prompts; or all of one that is not causal, whatever it takes.
    """

    def __init__(self) -> None:
        self._is_of_images = False

    def choose(
        self, ready: list[Sequence], first: Callable[[Sequence], float]
    ) -> tuple[list[Sequence], Sequence | None]:
        """Leave those whose next cell is a token, or name the one whose image is computed: of several the one
        that is `first`, then the one that came first.
        """
        looking = [s for s in ready if s.media and next_run(s) is not None]
        if not looking:
            return ready, None
        reading = [s for s in ready if s not in looking]
        self._is_of_images = not (self._is_of_images and reading)
        if not self._is_of_images:
            return reading, None
        return [], min(looking, key=lambda s: (first(s), s.arrival))


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
