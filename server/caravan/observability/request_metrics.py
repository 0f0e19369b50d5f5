"""One HTTP request's record: what its log line and the metrics say of it.

The middleware opens it, and whoever serves the request is given it. `current` is for lines of the log alone.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextvars import ContextVar
from typing import NamedTuple
from urllib.parse import quote

from caravan.engine.outputs import FinishReason, TokenOutput
from caravan.engine.params import SamplingParams
from caravan.observability.metrics import Metrics

log = logging.getLogger("caravan.requests")

# Clients choose the names.
_LONGEST_NAME = 100


class RequestMetrics:
    """Times are on the monotonic clock, in seconds."""

    def __init__(self, request_id: str = "", metrics: Metrics | None = None) -> None:
        self.request_id = request_id
        self.metrics = metrics
        self.arrived = time.monotonic()
        self.requested_model: str | None = None
        self.model: str | None = None
        self.runs: list[RunMetrics] = []
        self.key: str | None = None
        # How long the model is to stay loaded behind this request, in seconds; below 0 is for ever.
        self.stay_seconds: float | None = None
        self.error_code: str | None = None
        self.first_token_seconds: float | None = None
        self.num_prompt_tokens = 0
        self.num_cached_tokens = 0
        self.num_completion_tokens = 0
        self._num_waived_tokens = 0
        # What the client is told beside the answer: items by the header that lists them.
        self.notices: dict[str, dict[str, None]] = {}
        # What goes on when the request itself has been answered.
        self.continuing: asyncio.Task[None] | None = None

    @property
    def num_used_prompt_tokens(self) -> int:
        """Tokens of prompts that count for the key: not those that the server refused or failed."""
        return self.num_prompt_tokens - self._num_waived_tokens

    @property
    def num_used_tokens(self) -> int:
        """Tokens that count for the key, of prompts and answers."""
        return self.num_used_prompt_tokens + self.num_completion_tokens

    def waive(self, num_prompt_tokens: int) -> None:
        """Note that so many tokens of prompts are not to be paid for."""
        self._num_waived_tokens += num_prompt_tokens

    def fail(self, code: str) -> None:
        """Note the error that the client was told."""
        self.error_code = code
        if self.metrics is not None:
            self.metrics.count_error(code)

    def note(self, header: str, items: Iterable[str]) -> None:
        """Have the answer's head list items, each once. A head that has been sent tells nothing more."""
        self.notices.setdefault(header, {}).update(dict.fromkeys(items))

    def rename(self, header: str, name: Callable[[str], str]) -> None:
        """Have the head list its items by other names."""
        self.notices[header] = dict.fromkeys(map(name, self.notices.get(header, ())))

    def ignore(self, names: Collection[str]) -> None:
        """Tell the client, the counter and the log, which has each name once, what has no effect."""
        self.note("x-caravan-ignored", names)
        if self.metrics is None:
            return
        for name in names:
            shown = quote(name, safe="[]:", errors="replace")[:_LONGEST_NAME]
            if self.metrics.count_ignored(shown):
                log.warning("a request has the field %s, which has no effect (told once)", shown)

    def count_violation(self, model: str) -> None:
        """Note an answer that broke its constraint."""
        if self.metrics is not None:
            self.metrics.constraint_violations.labels(model).inc()

    def run(
        self, model: str, prompt_lengths: Sequence[int], choices_per_prompt: int, params: SamplingParams
    ) -> "RunMetrics":
        """Begin the part of one run in an engine."""
        self.model = model
        run = RunMetrics(self, model, prompt_lengths, choices_per_prompt, params)
        self.num_prompt_tokens += run.num_prompt_tokens
        self.runs.append(run)
        return run


class _Counts(NamedTuple):
    """Tokens of one choice."""

    generated: int = 0
    cached: int = 0
    thought: int = 0
    accepted: int = 0
    rejected: int = 0


class RunMetrics:
    """Follows the outputs of one run, and counts its tokens: one comparison and one observation an output.

    Choices are numbered through all prompts. `finish_reasons` come in the order in which the choices end.
    """

    def __init__(
        self,
        request: RequestMetrics,
        model: str,
        prompt_lengths: Sequence[int],
        choices_per_prompt: int,
        params: SamplingParams,
    ) -> None:
        self._request = request
        self.model = model
        self.params = params
        self.num_choices = len(prompt_lengths) * choices_per_prompt
        self.num_prompt_tokens = sum(prompt_lengths)
        self.began = time.monotonic()
        self.first_token: float | None = None
        self.ended: float | None = None
        self.finish_reasons: list[str] = []
        self._choices_per_prompt = choices_per_prompt
        # By choice. Outputs are not kept: they may have much in them.
        self._counts = [_Counts()] * self.num_choices
        self._came_at = [0.0] * self.num_choices
        self._num_unfinished = self.num_choices
        metrics = request.metrics
        self._inter_token = None if metrics is None else metrics.inter_token.labels(model)

    @property
    def num_completion_tokens(self) -> int:
        """Tokens of all choices so far."""
        return sum(counts.generated for counts in self._counts)

    @property
    def num_reasoning_tokens(self) -> int:
        """Those of them that were thought."""
        return sum(counts.thought for counts in self._counts)

    @property
    def num_accepted_predictions(self) -> int:
        """Tokens of predictions that were computed ahead, and then drawn."""
        return sum(counts.accepted for counts in self._counts)

    @property
    def num_rejected_predictions(self) -> int:
        """Tokens of predictions that were computed in vain."""
        return sum(counts.rejected for counts in self._counts)

    @property
    def num_cached_tokens(self) -> int:
        """Tokens of prompts that were cached; the first choice of each prompt speaks for it."""
        return sum(counts.cached for counts in self._counts[:: self._choices_per_prompt])

    def output(self, output: TokenOutput) -> None:
        """Note an output as it comes from the engine: its numbers are those of its choice so far."""
        now = time.monotonic()
        last, self._came_at[output.index] = self._came_at[output.index], now
        self._counts[output.index] = _Counts(
            output.num_completion_tokens,
            output.num_cached_tokens,
            output.num_reasoning_tokens,
            output.num_accepted_predictions,
            output.num_rejected_predictions,
        )
        if not last:
            self._first(output, now)
        elif self._inter_token is not None:
            self._inter_token.observe(now - last)
        if output.finish_reason is not None:
            self._finish(output, output.finish_reason)

    def close(self, *, is_computed: bool = True) -> None:
        """Note the end, whoever brought it about; once.

        Nobody pays for a prompt without a token after it, if it was not computed: refused, or failed by us.
        """
        if self.ended is not None:
            return
        self.ended = time.monotonic()
        if not is_computed and self.first_token is None:
            self._request.waive(self.num_prompt_tokens)
        metrics = self._request.metrics
        self._request.num_completion_tokens += self.num_completion_tokens
        self._request.num_cached_tokens += self.num_cached_tokens
        if metrics is None:
            return
        if self._num_unfinished:
            if any(self._came_at):
                metrics.aborted.labels(self.model).inc()
            return
        metrics.prompt_length.labels(self.model).observe(self.num_prompt_tokens)
        metrics.e2e_latency.labels(self.model).observe(self.ended - self._request.arrived)

    def _first(self, output: TokenOutput, now: float) -> None:
        request, metrics = self._request, self._request.metrics
        self.first_token = self.first_token or now
        if metrics is not None and output.queue_seconds is not None:
            metrics.queue_time.labels(self.model).observe(output.queue_seconds)
        if request.first_token_seconds is None:
            request.first_token_seconds = now - request.arrived
            if metrics is not None:
                metrics.time_to_first_token.labels(self.model).observe(request.first_token_seconds)

    def _finish(self, output: TokenOutput, reason: FinishReason) -> None:
        self._num_unfinished -= 1
        self.finish_reasons.append(reason.value)
        metrics = self._request.metrics
        if metrics is not None:
            metrics.finished.labels(self.model, reason.value).inc()
            metrics.answer_length.labels(self.model).observe(output.num_completion_tokens)


_current: ContextVar[RequestMetrics] = ContextVar("request record")


def current() -> RequestMetrics:
    """Return the record of the request that is being served."""
    return _current.get(None) or RequestMetrics()


def use(record: RequestMetrics) -> None:
    """Make a record that of the current task and of those it starts."""
    _current.set(record)
