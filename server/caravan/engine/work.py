"""What a step is to compute of a sequence, and what it tells besides."""

from collections.abc import Iterable
from dataclasses import dataclass

from caravan.engine.media.mapped import MappedRun
from caravan.engine.outputs import TokenOutput
from caravan.engine.sequence import FEW_SCORES, Sequence

# Log probabilities of prompts that come in one step, of all sequences. Each has some 260 bytes with twenty
# likeliest tokens.
_MOST_SCORES = 16_384


@dataclass(frozen=True, slots=True)
class Work:
    """The next `num_tokens` known tokens of a sequence are to be computed.

    With `completes` nothing is missing afterwards, so that the next token can be drawn; and one after each
    token of the `draft`, as long as those before it are what was drawn. `num_scored` rows of logits are
    wanted besides, for the log probabilities of the prompt. Where they are cells of a `run`, a step has
    nothing else.
    """

    sequence: Sequence
    num_tokens: int
    completes: bool
    num_scored: int = 0
    draft: tuple[int, ...] = ()
    run: MappedRun | None = None

    @property
    def num_cells(self) -> int:
        """How many tokens are computed, those of the draft included."""
        return self.num_tokens + len(self.draft)

    @property
    def num_logits(self) -> int:
        """How many of the tokens, the last ones, want their logits."""
        return self.num_scored + self.completes + len(self.draft)


def usual_step(running: list[Sequence]) -> list[Work] | None:
    """Work for streams that all go on by a token, as in almost every step; None where there is a choice."""
    for sequence in running:
        if len(sequence.token_ids) - sequence.num_computed_tokens != 1 or sequence.is_background:
            return None
        if sequence.lora or sequence.media or sequence.scores is not None or sequence.filling is not None:
            return None
    return [Work(sequence, 1, completes=True) for sequence in running]


def slices_of_scores(running: Iterable[Sequence]) -> list[TokenOutput]:
    """Tell log probabilities of prompts with this step, ahead of first outputs: as many of each sequence, and
    never none.

    A prompt that is known already would come at once with all of its own, and so would all that are admitted
    in one step: tens of megabytes in one message, which streams would wait for. So a prompt is not completed,
    and draws nothing, before almost all of them have been told.
    """
    telling = [sequence for sequence in running if sequence.has_many_untold_scores]
    share = max(FEW_SCORES, _MOST_SCORES // max(1, len(telling)))
    return [sequence.slice_of_scores(share) for sequence in telling]
