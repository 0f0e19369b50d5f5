"""Which drafts a step computes: where their tokens come from, and how far they may go."""

import itertools
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from caravan.config.engine_config import EngineConfig
from caravan.engine.constraints.preview import num_possible
from caravan.engine.constraints.token_mask import ConstraintError
from caravan.engine.drafts.chain import ProposerChain, foresee_all
from caravan.engine.drafts.draft_model import DraftModel
from caravan.engine.drafts.drafting import DraftCounts, Drafting
from caravan.engine.drafts.gain import Chance, ModelPace, num_worth
from caravan.engine.drafts.proposer import DraftSource
from caravan.engine.drafts.proposers import Proposers
from caravan.engine.drafts.row_clock import RowClock
from caravan.engine.interfaces import DecodingContext
from caravan.engine.kv.continuations import Continuations
from caravan.engine.kv.radix_tree import RadixTree
from caravan.engine.params import GenerationRequest
from caravan.engine.sampling.sampler import TokenSpace
from caravan.engine.sequence import Sequence
from caravan.engine.work import Work

log = logging.getLogger(__name__)

# So many streams may guess in each step.
_FEW_STREAMS = 2

MakeChain = Callable[[GenerationRequest], ProposerChain | None]


class Drafter:
    """Adds drafts to the work of streams, in steps that compute nothing else: as many tokens as make all of
    the step's streams together quicker, by what rows have cost and how often drafts were right.

    Belongs to the engine's thread. Does nothing where memory cannot be cut again at any place.
    """

    def __init__(
        self,
        config: EngineConfig,
        tokens: TokenSpace,
        context: DecodingContext,
        trees: tuple[RadixTree, ...],
        draft_model: DraftModel | None = None,
    ) -> None:
        self._config = config
        self._tokens = tokens
        proposers = Proposers(tokens.token_bytes, Continuations(trees), draft_model)
        self.make_chain: MakeChain = proposers.chain_for
        self._can_draft = config.max_drafted > 0 and can_draft(context)
        self._clock = RowClock()
        self._draft_model = draft_model
        self._began = 0.0
        self._model_pace = ModelPace()
        self.now: Callable[[], float] = time.perf_counter
        self.counts = DraftCounts()

    def begin(self, request: GenerationRequest) -> Drafting | None:
        """Make what is guessed of one choice of a request; None where it is to have no drafts."""
        most = self._config.max_drafted
        if request.max_drafted is not None:
            most = min(most, request.max_drafted)
        if not self._can_draft or most <= 0 or request.params.max_tokens == 0:
            return None
        chain = self.make_chain(request)
        return None if chain is None else Drafting(chain, most, self.counts)

    def add(self, work: list[Work]) -> list[Work]:
        """Return the work of a step with drafts where they are worth it. It is to be done at once.

        What fails here is no fault of the requests: they go on, without drafts.
        """
        try:
            drafted = self._drafted(work) if self._can_draft else work
        except Exception:
            log.exception("a draft failed; there are no more of them before the engine starts again")
            self._can_draft, drafted = False, work
            self._drop(work)
        self._began = self.now()
        return drafted

    def _drafted(self, work: list[Work]) -> list[Work]:
        has_draftings = self._drop(work)
        num_rows = sum(item.num_tokens for item in work)
        room = min(self._config.num_scored_rows, self._config.batch_size - num_rows)
        if room <= 0 or not has_draftings or not _are_streams(work):
            return work
        asking = [self._asks(item.sequence, len(work)) for item in work]
        # Before it is known that there are drafts, only a draft model's own choice needs it.
        curve = None if self._draft_model is None else self._clock.curve(num_rows, num_rows + room)
        self._foresee(list(itertools.compress(work, asking)), room, curve)
        drafts = [
            self._draft(item.sequence, room, curve) if asks else ()
            for item, asks in zip(work, asking, strict=True)
        ]
        num_drafted = min(room, sum(map(len, drafts)))
        if not num_drafted:
            return work
        curve = self._clock.curve(num_rows, num_rows + num_drafted)
        counts = self._counts(work, drafts, room, curve)
        return [
            replace(item, draft=draft[:count]) if count else item
            for item, draft, count in zip(work, drafts, counts, strict=True)
        ]

    @staticmethod
    def _asks(sequence: Sequence, num_streams: int) -> bool:
        """Whether to guess for a sequence. Where streams are many, guessing takes a share of a small model's
        short steps, so those whose guesses were in vain rest for some.
        """
        drafting = sequence.drafting
        return drafting is not None and (num_streams <= _FEW_STREAMS or not drafting.rests())

    @staticmethod
    def _drop(work: list[Work]) -> bool:
        """End the drafts of the step before; whether there can be new ones."""
        draftings = [drafting for item in work if (drafting := item.sequence.drafting) is not None]
        for drafting in draftings:
            drafting.end()
        return bool(draftings)

    def observe(self, work: list[Work], done: list[Work]) -> None:
        """Learn from a step that was to do this `work`, and has got all rows of logits of what is `done`."""
        if self._can_draft and len(done) == len(work) and _are_streams(done):
            self._clock.observe(sum(item.num_cells for item in done), self.now() - self._began)

    def _foresee(self, work: list[Work], room: int, curve: list[float] | None) -> None:
        """Have the draft model guess for all sequences at once that will ask it."""
        if self._draft_model is None:
            return
        asked = [
            (drafting.chain, item.sequence.token_ids, partial(self._wanted, item.sequence, room, curve))
            for item in work
            if (drafting := item.sequence.drafting) is not None
        ]
        foresee_all(self._draft_model, asked)

    def _wanted(self, sequence: Sequence, room: int, curve: list[float] | None, source: DraftSource) -> int:
        """How many tokens a source may propose; of a draft model, as many as are worth its own time."""
        drafting = sequence.drafting
        assert drafting is not None
        # The last token needs no draft: nothing is drawn after it.
        most = min(drafting.most, room, sequence.num_addable(self._config.context_size) - 1)
        if source is not DraftSource.MODEL or self._draft_model is None:
            return most
        seconds = self._draft_model.seconds_a_token
        return self._model_pace.num_worth(drafting.chain.acceptance[source], most, curve, seconds)

    def _draft(self, sequence: Sequence, room: int, curve: list[float] | None) -> tuple[int, ...]:
        """What may come next, as far as it may come at all."""
        if sequence.drafting is None:
            return ()
        draft = sequence.drafting.guess(sequence.token_ids, partial(self._wanted, sequence, room, curve))
        return draft[: self._num_possible(sequence, draft)]

    def _num_possible(self, sequence: Sequence, draft: tuple[int, ...]) -> int:
        """Count the tokens of a draft after which something can be drawn."""
        guide = sequence.sampler.guide
        ends = (self._tokens.end_ids, sequence.params.stop_token_ids)
        size = len(self._tokens.ids)
        going_on = [0 <= token_id < size and not any(token_id in end for end in ends) for token_id in draft]
        count = going_on.index(False) if False in going_on else len(draft)
        try:
            return len(draft[:count]) if guide is None else num_possible(guide, draft[:count])
        except ConstraintError:
            # The draw will say so.
            return 0

    @staticmethod
    def _counts(
        work: list[Work], drafts: list[tuple[int, ...]], room: int, curve: list[float] | None
    ) -> list[int]:
        """Choose how many tokens of each draft are computed."""
        chances = [
            Chance(place, item.sequence.drafting.rate, len(draft))
            for place, (item, draft) in enumerate(zip(work, drafts, strict=True))
            if draft and item.sequence.drafting is not None
        ]
        counts = [0] * len(work)
        if curve is not None:
            for place in num_worth(chances, len(work), room, curve):
                counts[place] += 1
        return counts


def can_draft(context: DecodingContext) -> bool:
    """Whether what was computed in vain can be taken out of memory again, which is then as it was before."""
    return context.can_cut and not context.sliding_window


def _are_streams(work: list[Work]) -> bool:
    """Whether all that is computed is to go on with answers that have begun."""
    return all(item.completes and not item.num_scored and item.sequence.is_streaming for item in work)
