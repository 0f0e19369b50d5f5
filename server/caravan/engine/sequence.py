"""Everything that one choice of one request owns."""

import time
from collections import Counter
from collections.abc import Iterable

from caravan.engine.activation import Stages, adapters_at
from caravan.engine.drafts.drafting import Drafting
from caravan.engine.kv.disk.disk_cache import Reading
from caravan.engine.kv.scopes import scope_of
from caravan.engine.media.mapped import MappedRun, with_runs
from caravan.engine.output.detokenizer import Detokenizer
from caravan.engine.output.logprobs import PendingLogprobs, PromptScores
from caravan.engine.output.progress import ProgressTeller
from caravan.engine.output.prompt_rows import PromptRows
from caravan.engine.outputs import FinishReason, TokenLogprob, TokenOutput
from caravan.engine.params import AdapterSet, GenerationRequest, SamplingParams
from caravan.engine.sampling.sampler import Sampler
from caravan.engine.sampling.trace import TracedSampler
from caravan.engine.sequence_status import SequenceStatus

_USUAL_ANSWER = 256
# Log probabilities of its prompt that may come with a sequence's first output: a step finds as many anew.
FEW_SCORES = 64

Scores = PromptRows | None
# Its place among those that wait, lower first: priority negated, place in the fair order, number of arrival.
Turn = tuple[int, float, int]


class Sequence:
    """One choice: its tokens, how far they are computed, its sampler and its text.

    There are no phases: a sequence wants `num_known_tokens - num_computed_tokens` tokens computed, and after
    its last known token it draws the next. Preempted, it waits again with everything known so far.
    """

    def __init__(
        self,
        request: GenerationRequest,
        index: int,
        arrival: int,
        sampler: Sampler,
        detokenizer: Detokenizer,
        scores: Scores = None,
        drafting: Drafting | None = None,
        media: tuple[MappedRun, ...] = (),
        stages: Stages = (),
    ) -> None:
        self.request = request
        self.index = index
        self.arrival = arrival
        self.params: SamplingParams = request.params
        self.stages = stages or ((0, request.lora),)
        self.scope = scope_of(request, self.stages)
        # Cells of an image are among them, as numbers that no token has.
        self.token_ids = with_runs(request.token_ids, media)
        self.media = media
        self.num_prompt_tokens = len(request.token_ids)
        self.num_computed_tokens = 0
        self.num_cached_tokens: int | None = None
        # Of these, how many came from where, if not from cells; and what is coming from the disk.
        self.cached_from: Counter[str] = Counter()
        self.filling: Reading | None = None
        self._is_first_turn = True
        self.owner, self.weight, self.priority = request.owner, request.weight, request.priority
        self.turn: Turn | None = None
        # What is asked for in one request together, and the order among its owner's, lower first.
        self.group = request.group or request.id
        self.rank = 0.0
        # The time of the fair order when it came, before which it has no claim.
        self.virtual_arrival = 0.0
        self._arrived = time.monotonic()
        limit = self.params.max_seconds
        self._deadline = None if limit is None else self._arrived + limit
        self._began_text: float | None = None
        self._queue_seconds: float | None = None
        self.is_background = request.is_background
        self.seq_id: int | None = None
        is_bound = request.constraint is not None
        self.status = SequenceStatus.WAITING_FOR_GRAMMAR if is_bound else SequenceStatus.WAITING
        self.sampler = sampler
        self.detokenizer = detokenizer
        self._logprobs = None if request.params.num_logprobs is None else PendingLogprobs()
        self._tracer = sampler if isinstance(sampler, TracedSampler) else None
        self.scores = scores
        self.drafting = drafting
        self._num_told_scores = 0
        self._num_told = self.num_prompt_tokens if request.tells_token_ids else None
        # The other choices of a prompt wait for the first.
        self._progress = ProgressTeller(request) if request.tells_progress and not index else None

    @property
    def has_begun(self) -> bool:
        """Whether it has ever had its turn."""
        return self.num_cached_tokens is not None

    @property
    def is_unfinished(self) -> bool:
        """Whether its client waits for more."""
        return self.status is not SequenceStatus.FINISHED

    @property
    def num_tokens(self) -> int:
        """Tokens known: the prompt, and what has been drawn."""
        return len(self.token_ids)

    @property
    def num_missing_tokens(self) -> int:
        """Known tokens that are not computed yet."""
        return len(self.token_ids) - self.num_computed_tokens

    @property
    def lora(self) -> AdapterSet:
        """The adapters that its next token is computed with."""
        return adapters_at(self.stages, self.num_computed_tokens)

    @property
    def num_completion_tokens(self) -> int:
        """Tokens drawn so far."""
        return len(self.token_ids) - self.num_prompt_tokens

    def is_full(self, context_size: int) -> bool:
        """Tell whether nothing may be added, by the request's limit or the context's."""
        return self.num_addable(context_size) <= 0

    def num_addable(self, context_size: int) -> int:
        """Count the tokens that may still be added."""
        left = context_size - self.num_tokens
        limit = self.params.max_tokens
        return left if limit is None else min(left, limit - self.num_completion_tokens)

    def ends_early(self, text: str) -> bool:
        """Tell whether a line is not indented enough, or a new one is where the text may end, its time being
        over. Asked once a token.
        """
        if self.detokenizer.is_outdented:
            return True
        limit = self.params.line_seconds
        if limit is None:
            return False
        now = time.monotonic()
        self._began_text = now if self._began_text is None else self._began_text
        return "\n" in text and now - self._began_text > limit

    @property
    def is_streaming(self) -> bool:
        """Whether somebody is reading along already, so that a pause would be seen."""
        return self.num_completion_tokens > 0

    @property
    def wants_scores(self) -> bool:
        """Whether there are tokens of the prompt whose log probability is asked for and not known yet."""
        return self.scores is not None and not self.scores.is_complete

    @property
    def has_many_untold_scores(self) -> bool:
        """Whether more of the prompt's log probabilities are untold than may come with the first output."""
        if self.scores is None:
            return False
        return len(self.scores.entries) - self._num_told_scores > FEW_SCORES

    @property
    def matchable_tokens(self) -> list[int]:
        """The tokens of which all but the last may be taken from memory: the rest has to give logits."""
        if self.scores is None or self.scores.is_complete:
            return self.token_ids
        return self.token_ids[: self.scores.next_position]

    def can_use(self, other: "Sequence") -> bool:
        """Tell whether what another computes may spare this one work.

        One that wants the log probabilities of its whole prompt has use only for those that the other finds.
        """
        is_whole = isinstance(self.scores, PromptScores)
        return not is_whole or not self.wants_scores or other.wants_scores

    @property
    def num_sparable_tokens(self) -> int:
        """Tokens of the prompt that need not be computed if another does: all but those that give logits."""
        return self.num_tokens - (1 if self.scores is None else self.scores.num_last_rows)

    def hold_logprob(self, *, is_end: bool) -> None:
        """Keep the log probability of a token just drawn, if asked for, until its text goes out.

        A token that was appended undrawn has none.
        """
        entry, self.sampler.last_logprob = self.sampler.last_logprob, None
        if entry is not None and self._logprobs is not None:
            self._logprobs.add(entry, self.detokenizer.num_decoded, is_end=is_end)

    @property
    def cost(self) -> int:
        """Tokens that it may take, for a fair share; an answer without a limit counts as a usual one."""
        if self.request.cost is not None:
            return self.request.cost
        return self.num_prompt_tokens + (self.params.max_tokens or _USUAL_ANSWER)

    @property
    def is_over(self) -> bool:
        """Whether its own time is over."""
        return self._deadline is not None and self._deadline <= time.monotonic()

    def overdue(self, queue_seconds: float) -> FinishReason | None:
        """Tell how it ends now, its own time being over, or that of the queue, if there is one."""
        if self.is_over:
            return FinishReason.LENGTH
        if not queue_seconds or self.has_begun or self.is_streaming or self.is_background:
            return None
        return FinishReason.EXPIRED if time.monotonic() - self._arrived > queue_seconds else None

    def take_over(self, token_ids: Iterable[int]) -> None:
        """Go on from tokens that another engine has drawn and told, as if this one had been preempted."""
        self.token_ids += token_ids
        self._num_told = None if self._num_told is None else len(self.token_ids)

    def begin(self, num_cached_tokens: int, num_fetched_tokens: int = 0) -> None:
        """Note that memory was found, with so much of the prompt in it, some of it from the host cache; a
        preempted one has begun before.
        """
        self.num_computed_tokens = num_cached_tokens
        if self.scores is not None:
            self.scores.touch()
        self._is_first_turn = self.num_cached_tokens is None
        if self._is_first_turn:
            self.num_cached_tokens = num_cached_tokens
            # What was fetched may not be what it then goes on with.
            self.cached_from["parked"] = min(num_fetched_tokens, num_cached_tokens)
            self._queue_seconds = time.monotonic() - self._arrived

    def fill(self, start: int, end: int) -> None:
        """Note that its first `end` tokens are in memory, those from `start` on from the disk; from 0 on, it
        is in the place of all that was there.
        """
        self.num_computed_tokens = end
        if self._is_first_turn:
            self.num_cached_tokens = end
            if not start:
                self.cached_from.clear()
            self.cached_from["disk"] += end - start

    def output(self, text: str, reason: FinishReason | None = None, error: str | None = None) -> TokenOutput:
        """Tell the news: text to append, its counts, and why it ends if it does."""
        queue_seconds, self._queue_seconds = self._queue_seconds, None
        has_computed_prompt = self.is_streaming or not self.num_missing_tokens
        if (drafting := self.drafting) is not None and reason is not None:
            drafting.end()
        return TokenOutput(
            request_id=self.request.id,
            index=self.index,
            text=text,
            finish_reason=reason,
            stop_string=self.detokenizer.stop_string,
            num_completion_tokens=self.num_completion_tokens,
            num_cached_tokens=self.num_cached_tokens or 0,
            num_reasoning_tokens=self.sampler.num_reasoning_tokens,
            mirostat_mu=self.sampler.mirostat_mu,
            sum_logprob=self.sampler.sum_logprob,
            logprobs=self._tell_logprobs(text, is_last=reason is not None),
            queue_seconds=queue_seconds,
            prompt_logprobs=self._tell_scores() if has_computed_prompt else (),
            token_ids=self._tell_tokens(),
            traces=() if self._tracer is None else self._tracer.tell(),
            num_accepted_predictions=0 if drafting is None else drafting.num_accepted,
            num_rejected_predictions=0 if drafting is None else drafting.num_rejected,
            error=error,
        )

    def slice_of_scores(self, most: int) -> TokenOutput:
        """Tell the next log probabilities of the prompt, at most so many, ahead of the first output."""
        told = self._tell_scores(most)
        return TokenOutput(request_id=self.request.id, index=self.index, prompt_logprobs=told, is_slice=True)

    def tell_progress(self) -> TokenOutput | None:
        """Tell how much of the prompt is computed, while it is, where that is asked for and news."""
        if self._progress is None or self.is_streaming:
            return None
        return self._progress.news(self.num_computed_tokens, self.num_cached_tokens or 0)

    def _tell_logprobs(self, text: str, *, is_last: bool) -> tuple[TokenLogprob, ...]:
        if self._logprobs is None:
            return ()
        return self._logprobs.release(text, is_all=is_last and not self.detokenizer.is_cut)

    def _tell_tokens(self) -> tuple[int, ...]:
        if self._num_told is None:
            return ()
        new = tuple(self.token_ids[self._num_told :])
        self._num_told += len(new)
        return new

    def _tell_scores(self, most: int | None = None) -> tuple[TokenLogprob, ...]:
        if self.scores is None:
            return ()
        start = self._num_told_scores
        told = tuple(self.scores.entries[start : None if most is None else start + most])
        self._num_told_scores += len(told)
        return told
