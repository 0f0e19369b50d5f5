"""Log probabilities of prompts on their way out, some of them with each step.

A prompt that is known already would come at once with all of its own, and so would all that are admitted
in one step: tens of megabytes in one message, which streams would wait for. So a prompt is not completed, and
draws nothing, before almost all of them have been told. They wait at their sequences, which have their places
meanwhile: what waits is bounded by what runs, goes where a sequence goes, and ends with it.
"""

from collections.abc import Iterable

from caravan.engine.outputs import TokenOutput
from caravan.engine.sequence import Sequence

# Of each sequence, so many may come with its first output: a step finds about as many anew.
_FEW = 64
# In one step. Each has some 260 bytes with twenty likeliest tokens.
_MOST = 16_384


def has_many_untold(sequence: Sequence) -> bool:
    """Whether more of them wait than may come with the first output."""
    return sequence.num_untold_scores > _FEW


def slices(running: Iterable[Sequence]) -> list[TokenOutput]:
    """What is told with this step: as much of each sequence, and never none."""
    telling = [sequence for sequence in running if has_many_untold(sequence)]
    share = max(_FEW, _MOST // max(1, len(telling)))
    return [sequence.slice_of_scores(share) for sequence in telling]
