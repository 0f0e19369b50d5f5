"""Draws the next tokens of a step from its rows of logits."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from caravan.config.engine_config import EngineConfig
from caravan.engine.constraints.mask_prefetcher import MaskPrefetcher, prepare_at_once
from caravan.engine.constraints.token_mask import ConstraintError
from caravan.engine.continuation import ContinuationError
from caravan.engine.kv.kv_cache import KVCache
from caravan.engine.kv.radix_node import common_prefix
from caravan.engine.output.token_probes import TokenProbes
from caravan.engine.outputs import FinishReason, reason_for
from caravan.engine.sampling.candidates import Floats
from caravan.engine.sampling.sampler import TokenSpace
from caravan.engine.sequence import Sequence
from caravan.engine.work import Work

log = logging.getLogger(__name__)

# So many draws of a step take long enough for the server to write the texts of half of them meanwhile, on a
# processor that llama.cpp's threads want back with the next step.
_MANY_ROWS = 6

Row = tuple[Work, Floats]


class RowSampler:
    """Has each sequence draw by its own sampler, and hands the tokens to `append`, which tells whether the
    sequence goes on; `finish` ends one. What goes wrong with one is nothing to the others.

    With several threads, rows without a constraint are drawn on all of them first: NumPy lets go of the
    interpreter in its longer passes, and each sampler has a state and a random stream of its own, so the
    tokens are the same as one by one.
    """

    def __init__(
        self,
        token_space: TokenSpace,
        kv_cache: KVCache,
        config: EngineConfig,
        append: Callable[[Sequence, int], bool],
        finish: Callable[[Sequence, FinishReason, str | None], None],
        flush: Callable[[], None],
    ) -> None:
        self._token_space = token_space
        self._kv_cache = kv_cache
        self._num_threads = config.num_sampling_threads
        num_others = config.num_sampling_threads - 1
        self._threads = ThreadPoolExecutor(num_others, "rows") if num_others else None
        self._append = append
        self._finish = finish
        self._flush = flush
        self._mask_prefetcher = MaskPrefetcher()

    def sample(self, done: list[Work], logits: Floats) -> None:
        """Go on with every sequence that has rows of logits [number of rows, vocab_size], in their order.

        If there are many, `flush` is called in the middle.
        """
        rows: list[Row] = []
        start = 0
        for work in done:
            rows.append((work, logits[start : start + work.num_logits]))
            start += work.num_logits
        drawn = {} if self._threads is None else self._drawn_ahead(rows, self._threads)
        halfway = len(rows) // 2 if len(rows) >= _MANY_ROWS else None
        for place, (work, own) in enumerate(rows):
            if place == halfway:
                self._flush()
            self._draw(work, own, drawn.get(work.sequence))
        going_on = (work.sequence for work in done if work.sequence.is_unfinished)
        if masks := [mask for sequence in going_on if (mask := sequence.sampler.next_mask) is not None]:
            self._mask_prefetcher.prepare(masks)

    def close(self) -> None:
        """End the threads."""
        self._mask_prefetcher.close()
        if self._threads is not None:
            self._threads.shutdown()

    def _draw(self, work: Work, logits: Floats, drawn: int | BaseException | None) -> None:
        """Go on with one sequence by its rows of logits, or by what was drawn from them."""
        sequence, seq_id = work.sequence, work.sequence.seq_id
        try:
            self._take_scores(work, logits)
            if not work.completes:
                return
            if sequence.params.max_tokens == 0:
                self._finish(sequence, FinishReason.LENGTH, None)
                return
            if isinstance(drawn, BaseException):
                raise drawn
            self._go_on(work, logits[work.num_scored :], drawn)
        except ContinuationError as error:
            self._finish(sequence, FinishReason.CONTRADICTED, str(error))
        except ConstraintError as error:
            self._finish(sequence, FinishReason.UNSATISFIABLE, str(error))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            log.exception("a draw failed")
            self._finish(sequence, reason_for(error), f"sampling failed: {error}")
        finally:
            if work.draft and seq_id is not None:
                self._kv_cache.cut(seq_id)

    def _go_on(self, work: Work, rows: Floats, drawn: int | None) -> None:
        """Draw after the last known token, and after each token of the draft that was drawn itself.

        Of the draft, only that is booked; and never the last token of the text, which has to be computed
        before another can be drawn.
        """
        sequence, num_known, num_kept = work.sequence, work.sequence.num_tokens, 0
        if work.draft and sequence.drafting is not None:
            sequence.drafting.compute(len(work.draft))
        while True:
            # What follows without a draw is added with it; the next step computes it all at once.
            tokens = sequence.sampler.next_tokens(rows[num_kept]) if drawn is None else [drawn]
            for token_id in tokens:
                if not self._add(sequence, token_id):
                    return
            drawn, new = None, sequence.token_ids[num_known:]
            num_right = common_prefix(new, list(work.draft))
            goes_on = num_right == len(new) and not sequence.is_over
            num_right = min(num_right, len(new) - (not goes_on))
            self._keep(sequence, work.draft[num_kept:num_right])
            num_kept = num_right
            if not goes_on:
                return
            prepare_at_once([sequence.sampler.next_mask])

    def _add(self, sequence: Sequence, token_id: int) -> bool:
        """Add a token that was drawn or forced; whether the text goes on."""
        if sequence.drafting is not None:
            sequence.drafting.note(token_id)
        return self._append(sequence, token_id)

    def _keep(self, sequence: Sequence, token_ids: tuple[int, ...]) -> None:
        """Book tokens of a draft that belong to the text."""
        if token_ids and sequence.seq_id is not None:
            self._kv_cache.commit(sequence.seq_id, list(token_ids))
            sequence.num_computed_tokens += len(token_ids)

    def _take_scores(self, work: Work, logits: Floats) -> None:
        """Have a sequence note what its rows say of its prompt."""
        scores = work.sequence.scores
        if scores is not None and work.num_scored:
            scores.take(logits[: work.num_scored], self._token_space.ids)
        if isinstance(scores, TokenProbes) and work.completes:
            scores.take_last(logits[-1], self._token_space.ids)

    def _drawn_ahead(
        self, rows: list[Row], threads: ThreadPoolExecutor
    ) -> dict[Sequence, int | BaseException]:
        """What draws that touch nothing but their sequence's own came to; this thread does its share."""
        drawn: dict[Sequence, int | BaseException] = {}
        plain = [
            (work.sequence, logits[0])
            for work, logits in rows
            if work.completes and not work.num_scored and work.sequence.sampler.is_plain
            if work.sequence.params.max_tokens != 0
        ]

        def draw(share: list[tuple[Sequence, Floats]]) -> None:
            for sequence, row in share:
                try:
                    drawn[sequence] = sequence.sampler.sample(row)
                except BaseException as error:
                    drawn[sequence] = error

        first, *others = (plain[start :: self._num_threads] for start in range(self._num_threads))
        begun = [threads.submit(draw, share) for share in others if share]
        draw(first)
        for other in begun:
            other.result()
        return drawn
