"""Everything that one choice of one request owns."""

import time
from enum import Enum

from server.engine.detokenizer import Detokenizer
from server.engine.held_logprobs import HeldLogprobs
from server.engine.outputs import FinishReason, TokenOutput
from server.engine.params import GenerationRequest, SamplingParams
from server.engine.sampling.sampler import Sampler


class SequenceStatus(Enum):
    """WAITING has no memory; RUNNING has a sequence id; FINISHED has told its client so."""

    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"


class Sequence:
    """One choice: its tokens, how far they are computed, its sampler and its text.

    There are no phases: a sequence wants `num_known_tokens - num_computed_tokens` tokens computed, and after
    its last known token it draws the next. Preempted, it waits again with everything known so far.
    """

    def __init__(
        self, request: GenerationRequest, index: int, arrival: int, sampler: Sampler, detokenizer: Detokenizer
    ) -> None:
        self.request_id = request.id
        self.index = index
        self.arrival = arrival
        self.params: SamplingParams = request.params
        self.salt = request.cache_salt
        self.token_ids = list(request.token_ids)
        self.num_prompt_tokens = len(request.token_ids)
        self.num_computed_tokens = 0
        self.num_cached_tokens: int | None = None
        self.deadline = _deadline(request.params)
        self.seq_id: int | None = None
        self.status = SequenceStatus.WAITING
        self.sampler = sampler
        self.detokenizer = detokenizer
        self.logprobs = HeldLogprobs()

    @property
    def num_tokens(self) -> int:
        """Tokens known: the prompt, and what has been drawn."""
        return len(self.token_ids)

    @property
    def num_missing_tokens(self) -> int:
        """Known tokens that are not computed yet."""
        return len(self.token_ids) - self.num_computed_tokens

    @property
    def num_completion_tokens(self) -> int:
        """Tokens drawn so far."""
        return len(self.token_ids) - self.num_prompt_tokens

    @property
    def is_streaming(self) -> bool:
        """Whether somebody is reading along already, so that a pause would be seen."""
        return self.num_completion_tokens > 0

    def hold_logprob(self) -> None:
        """Keep the log probability of a token just drawn, if asked for, until its text goes out."""
        if self.sampler.last_logprob is not None:
            self.logprobs.add(self.sampler.last_logprob, self.detokenizer.num_decoded)

    def output(self, text: str, reason: FinishReason | None = None, error: str | None = None) -> TokenOutput:
        """News of this sequence: text to append, its counts, and why it ends if it does."""
        return TokenOutput(
            request_id=self.request_id,
            index=self.index,
            text=text,
            finish_reason=reason,
            num_completion_tokens=self.num_completion_tokens,
            num_cached_tokens=self.num_cached_tokens or 0,
            mirostat_mu=self.sampler.mirostat_mu,
            sum_logprob=self.sampler.sum_logprob,
            logprobs=self.logprobs.release(text, is_all=reason is not None and not self.detokenizer.stopped),
            error=error,
        )


def _deadline(params: SamplingParams) -> float | None:
    """When the time of a request that has just arrived is over, on the monotonic clock."""
    return None if params.max_seconds is None else time.monotonic() + params.max_seconds
