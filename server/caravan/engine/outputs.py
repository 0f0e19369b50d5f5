"""Frozen values that come out of the engine; they cross the process border as MessagePack."""

import struct
from collections.abc import Callable, Sequence
from enum import StrEnum

import msgspec

from caravan.engine.params import GenerationRequest


class FinishReason(StrEnum):
    """Why a choice ended: the first two are OpenAI's words, the others become errors or nothing.

    EXPIRED is the end of one that waited too long for its turn, UNSATISFIABLE of one whose constraint cannot
    be kept to any further, CONTRADICTED of one whose tokens that stand already could not have been drawn,
    NO_MEMORY of one that there was too little memory for.
    """

    STOP = "stop"
    LENGTH = "length"
    ABORT = "abort"
    ERROR = "error"
    EXPIRED = "expired"
    UNSATISFIABLE = "unsatisfiable"
    CONTRADICTED = "contradicted"
    NO_MEMORY = "no_memory"


def reason_for(error: BaseException) -> FinishReason:
    """Tell why a choice ends that failed with `error`."""
    return FinishReason.NO_MEMORY if isinstance(error, MemoryError) else FinishReason.ERROR


_ID_BYTES, _LOGPROB_BYTES = 4, 8
_TOP_BYTES = _ID_BYTES + _LOGPROB_BYTES


class TokenLogprob(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How likely a token was: natural logarithms of a softmax over the whole vocabulary.

    `top` are the likeliest tokens, the likeliest first, as `packed_top` has them; banned ones are left out.
    They are packed because an answer may have a million: as objects these would take tenths of a second to
    make, to send, to read and to forget.
    `offset` is the place in the choice's text, in characters, where the token's first character stands.
    `rank` is told of prompts only: 1 for the likeliest token. `logprob` is NaN for a token with nothing
    before it to tell. With `is_end` the token ended the text, by its own meaning or the request's, and is no
    part of it.
    """

    token_id: int
    logprob: float
    top: bytes = b""
    offset: int = 0
    rank: int = 0
    is_end: bool = False

    @property
    def num_top(self) -> int:
        """How many likeliest tokens are told."""
        return len(self.top) // _TOP_BYTES

    @property
    def top_ids(self) -> tuple[int, ...]:
        """The likeliest tokens, the likeliest first."""
        return unpacked_top(self.top)[0]

    @property
    def top_logprobs(self) -> tuple[float, ...]:
        """Their log probabilities, to the last bit."""
        return unpacked_top(self.top)[1]

    def with_top(self, count: int) -> "TokenLogprob":
        """Return the same with no more than so many of the likeliest."""
        has = self.num_top
        if has <= count:
            return self
        ids, logprobs = self.top[: count * _ID_BYTES], self.top[has * _ID_BYTES :]
        return msgspec.structs.replace(self, top=ids + logprobs[: count * _LOGPROB_BYTES])


def packed_top(ids: Sequence[int], logprobs: Sequence[float]) -> bytes:
    """Pack tokens and their log probabilities: all ids (int32), then all numbers (float64), little-endian."""
    return struct.pack(f"<{len(ids)}i{len(logprobs)}d", *ids, *logprobs)


def unpacked_top(top: bytes) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return the tokens and the numbers that `packed_top` has packed."""
    count = len(top) // _TOP_BYTES
    return struct.unpack_from(f"<{count}i", top), struct.unpack_from(f"<{count}d", top, count * _ID_BYTES)


class PromptProgress(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How many tokens of a prompt are in memory, so many seconds after its turn has come."""

    num_computed_tokens: int
    seconds: float


class StageTrace(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a stage of a draw has left: so many tokens, of which `top` are the likeliest, as `packed_top` has
    them, with their logits in this stage.

    `log_total` is the logarithm of the sum of all their exponentials, so that a probability is `exp(logit -
    log_total)`. `entropy` is in nats, `deviation` the standard deviation of all their logits. `cut_mass` is
    how likely the `num_cut` tokens were together, by the stage before, that this one has left out.
    """

    name: str
    num_left: int
    num_cut: int
    cut_mass: float
    entropy: float
    deviation: float
    log_total: float
    top: bytes


class StepTrace(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How a token was drawn: the stages in which that was decided, in the order in which they acted.

    `probability` is that of the token among those it was drawn from, `logprob` the natural logarithm of the
    one it has in the row as the model gave it. One that `is_forced` was not drawn. `mu` is mirostat's limit
    before and after the draw.
    """

    token_id: int
    is_forced: bool
    probability: float
    logprob: float
    stages: tuple[StageTrace, ...]
    mu: tuple[float, float] | None = None


class TokenOutput(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """News of one choice: `text` to append, and totals so far.

    The last output of a choice has a `finish_reason`, and nothing follows it. `text` never ends inside a
    character, nor inside what may still become a stop string. `error` is set with FinishReason.ERROR,
    UNSATISFIABLE, CONTRADICTED and NO_MEMORY alone. `stop_string` is the one that ended the text.
    `num_completion_tokens` counts every token drawn or forced, the end-of-generation token included;
    `num_reasoning_tokens` those of them that were thinking, its markers included. `mirostat_mu` is
    mirostat's state after them, where it draws. `sum_logprob` adds up the log probabilities of the tokens
    drawn, where the request asked for a score: after bias, penalties and bans, before truncation.

    `logprobs` has the tokens of which the first character is in `text`, of the same stage, where the request
    asked for them: all that were drawn, in the end, except those that stand in the part that a stop string
    cut off. `prompt_logprobs`, if the request asked for them, are in the first output of a choice, one for
    each token of the prompt but the first, of the logits as they are; none are there if the choice ended
    before its prompt was computed. What `is_slice` comes before that first output, with some of them and
    nothing else; `OutputQueue` puts them together. `token_ids`, if it asked for them, are all tokens since
    the last output, whether or not their text is out. `queue_seconds` is how long the choice waited for its
    prompt to be begun, told with its first output alone. `traces`, if it asked for them, are those of all
    tokens since the last output. What has `progress` comes
    before that, of the first choice, if the request asked for it; it tells nothing else.
    """

    request_id: str
    index: int = 0
    text: str = ""
    finish_reason: FinishReason | None = None
    stop_string: str | None = None
    num_completion_tokens: int = 0
    num_cached_tokens: int = 0
    num_reasoning_tokens: int = 0
    mirostat_mu: float | None = None
    sum_logprob: float | None = None
    logprobs: tuple[TokenLogprob, ...] = ()
    prompt_logprobs: tuple[TokenLogprob, ...] = ()
    is_slice: bool = False
    token_ids: tuple[int, ...] = ()
    queue_seconds: float | None = None
    traces: tuple[StepTrace, ...] = ()
    num_accepted_predictions: int = 0
    num_rejected_predictions: int = 0
    progress: PromptProgress | None = None
    error: str | None = None


def refusal(
    request: GenerationRequest, fault: str, reason: FinishReason = FinishReason.ERROR
) -> list[TokenOutput]:
    """Make the one output of each choice of a request that never began."""
    return [
        TokenOutput(request_id=request.id, index=index, finish_reason=reason, error=fault)
        for index in request.indexes
    ]


class EngineStats(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of the engine's books, for readiness and metrics.

    Of what waits and runs, `num_background_waiting` and `num_background_running` stand still for any other.
    `num_cells_active`, those of the others that run, is a tenth of a second old at most while there are any.
    `num_checkpoints_used` counts the sequences that began at a checkpoint.
    `num_drafted` tokens were computed ahead, of which `num_accepted` were drawn then, by source of the draft.
    `num_hits` are the `num_cached_tokens` by place. Of the cache on the disk, `num_disk_bytes` are those of
    all models; what was written, read and found damaged is this engine's. Of `num_adapters`, choices
    are counted by name that run, and that wait; these counts are as old as `num_cells_active`.
    """

    num_waiting: int = 0
    num_running: int = 0
    num_background_waiting: int = 0
    num_background_running: int = 0
    num_idle_sequences: int = 0
    num_cells: int = 0
    num_cells_used: int = 0
    num_cells_active: int = 0
    num_offloaded_tokens: int = 0
    num_checkpoints: int = 0
    checkpoint_bytes: int = 0
    num_checkpoints_used: int = 0
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    num_completion_tokens: int = 0
    num_preemptions: int = 0
    num_evictions: int = 0
    num_steps: int = 0
    num_drafted: dict[str, int] = {}
    num_accepted: dict[str, int] = {}
    num_hits: dict[str, int] = {}
    num_disk_bytes: int = 0
    num_disk_tokens_written: int = 0
    num_disk_tokens_read: int = 0
    num_disk_bad_files: int = 0
    num_adapters: int = 0
    running_adapters: dict[str, int] = {}
    waiting_adapters: dict[str, int] = {}

    @property
    def num_live_waiting(self) -> int:
        """How many choices wait that nobody else goes before."""
        return self.num_waiting - self.num_background_waiting

    @property
    def num_live_running(self) -> int:
        """How many choices are computed that nobody else goes before."""
        return self.num_running - self.num_background_running


# What an engine hands over at the end of a step: news, and how to ask for its books if anybody wants them.
Publish = Callable[[list[TokenOutput], Callable[[], EngineStats]], None]
