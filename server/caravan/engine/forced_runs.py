"""Streams that go on by several tokens at once, which nobody had to draw."""

from caravan.engine.activation import num_until_next
from caravan.engine.media.turns import num_until_image
from caravan.engine.sequence import Sequence
from caravan.engine.work import Work

# Tokens of a stream that are computed at once: the longest run that a constraint or a budget forces, and the
# draw before it.
_MAX_RUN = 17


def forced_runs(prompts: list[Sequence], budget: int) -> tuple[list[Work], list[Sequence], int]:
    """Work for streams that go on by several tokens at once, as far as all of them fit; who and what is left.

    Prompts are sorted by what they miss. Those of a few tokens, too, are not worth a step of their own.
    """
    runs: list[Work] = []
    for sequence in prompts:
        count = sequence.num_missing_tokens
        if count > _MAX_RUN or count > budget or not sequence.is_streaming or sequence.wants_scores:
            continue
        if sequence.media and num_until_image(sequence, count) < count:
            continue
        if num_until_next(sequence.stages, sequence.num_computed_tokens) < count:
            continue
        runs.append(Work(sequence, count, completes=True))
        budget -= count
    taken = {id(work.sequence) for work in runs}
    return runs, [sequence for sequence in prompts if id(sequence) not in taken], budget
