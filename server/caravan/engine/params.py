"""Frozen values that go into the engine; they cross the process border as MessagePack."""

import msgspec

from caravan.engine.media.values import MediaRun
from caravan.grammars.call_prefix import CallPrefix
from caravan.grammars.constraint import Constraint

# Below whatever a request may ask for: work of this priority is done where there is no other.
BACKGROUND_PRIORITY = -(2**40)
# What the `cache_salt` of one request alone begins with.
ONCE = "once "

# llama.cpp's order; a request may name another. `temperature` may be among them, and acts last if it is not.
DEFAULT_SAMPLERS = ("top_n_sigma", "top_k", "typical_p", "top_p", "min_p", "xtc")


# Names of adapters and how strongly each counts, by name; without any, the model as it is.
AdapterSet = tuple[tuple[str, float], ...]


class SamplingParams(msgspec.Struct, frozen=True, kw_only=True):
    """How one choice is drawn and when it ends. Values arrive checked; the engine does not repair them.

    Neutral values: `temperature` 1 (0 is greedy), `dynatemp_range` 0, `top_k` 0, `top_p` 1, `min_p` 0,
    `typical_p` 1, `top_n_sigma` -1, `xtc_probability` 0, `adaptive_target` -1, `mirostat` 0,
    `repeat_penalty` 1, the other penalties and `dry_multiplier` 0. Windows of -1 are the whole text.

    `logit_bias` pairs token ids with what is added; minus infinity bans. `bad_words` are token sequences that
    may not be completed. `dry_breakers` are token sequences over which DRY sees no repetition.
    `seed` None draws a fresh seed; each choice of a seeded request has a stream of its own.
    `min_tokens` tokens are drawn before anything but `max_tokens` or `max_seconds` may end the text.
    `max_tokens` 0 computes the prompt and draws nothing; None means "until the context is full". `stop` ends
    the text at its `stop_limit`-th occurrence. `max_seconds` counts from the request's arrival. After
    `line_seconds` from the first token the text ends at its next new line, and in any case before a line that
    is indented by less than `n_indent`. `score` asks for `TokenOutput.sum_logprob`, `num_logprobs` for
    `TokenOutput.logprobs` with so many likeliest tokens, of all or, with `tells_drawn`, of those that were
    left for the draw.
    """

    temperature: float = 0.8
    dynatemp_range: float = 0.0
    dynatemp_exponent: float = 1.0
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    typical_p: float = 1.0
    top_n_sigma: float = -1.0
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    min_keep: int = 0
    samplers: tuple[str, ...] = DEFAULT_SAMPLERS
    adaptive_target: float = -1.0
    adaptive_decay: float = 0.9
    mirostat: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = 64
    dry_breakers: tuple[tuple[int, ...], ...] = ()
    logit_bias: tuple[tuple[int, float], ...] = ()
    bad_words: tuple[tuple[int, ...], ...] = ()
    allowed_token_ids: tuple[int, ...] | None = None
    ignore_eos: bool = False
    seed: int | None = None
    min_tokens: int = 0
    max_tokens: int | None = None
    max_seconds: float | None = None
    line_seconds: float | None = None
    n_indent: int = 0
    stop: tuple[str, ...] = ()
    stop_limit: int = 1
    stop_token_ids: tuple[int, ...] = ()
    include_stop: bool = False
    score: bool = False
    num_logprobs: int | None = None
    tells_drawn: bool = False


class Reasoning(msgspec.Struct, frozen=True):
    """How a model thinks before it answers: between the markers `start` and `end`, written out.

    The prompt has opened it (`is_open`), or the model may with its very first text, white space aside. Until
    `end` no constraint binds and none of its markers is seen; the white space that follows is not the
    constraint's business either. A constraint that binds at once leaves room for `start_token_ids`.

    `budget` tokens may be spent, both markers not counted; then `end_token_ids` are appended undrawn. So they
    are when somebody asks for that, if it `is_controlled`.
    """

    start: str
    end: str
    is_open: bool
    budget: int | None
    end_token_ids: tuple[int, ...]
    start_token_ids: tuple[int, ...]
    is_controlled: bool = False


class AnswerLayout(msgspec.Struct, frozen=True, kw_only=True):
    """Which parts of a text, beside the thoughts at its beginning, are no content.

    `frames` are pairs of marks: what stands between is none, nor are the marks. With an empty second one, the
    first stands for itself. From one of the marks `calls` on, all text is calls; so it is from its beginning
    on if that is as `begins` says, white space aside, or in any case with `is_all_calls`. Of marks at one
    place the longest counts.
    """

    frames: tuple[tuple[str, str], ...] = ()
    calls: tuple[str, ...] = ()
    begins: CallPrefix | None = None
    is_all_calls: bool = False


class GenerationRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """One prompt and what to do with it. `id` is unique among the requests an engine knows.

    `token_ids` is not empty, every id is in the vocabulary, and it is shorter than the context.
    `num_prompt_logprobs` asks for `TokenOutput.prompt_logprobs`, with so many of the likeliest tokens,
    `tells_token_ids` for `TokenOutput.token_ids`, `tells_progress` for `TokenOutput.progress`, `num_traced`
    for `TokenOutput.traces`, with so many of the likeliest tokens of each stage. The last
    `num_continued` of `token_ids` are tokens of the answer, as if they had been drawn, and the limits of
    `params` count them; they go with `num_traced`.
    `drawn` are, for each choice, the tokens that another engine has drawn of it, and None for one that has
    ended there: each goes on as one that was preempted, and tells only what comes next. They go with nothing
    that is told of single tokens.
    `probes` are tokens for each of the last so many places of the prompt: `prompt_logprobs` tell how likely
    each is to come after it, and nothing else. They go with `max_tokens` 0. `cost` is what a fair share of
    the queue is charged, where it is not prompt and answer. `n` choices are drawn from the one prompt, which
    is computed once where others can go on from it. `cache_salt`
    separates prefix caches: a prefix is only ever shared among requests with an equal salt, but for the first
    `num_public_tokens` of a prompt, which every request may share that begins with them; one that begins with
    ONCE is no other request's, and what it separates is written nowhere. Those of a higher
    `priority` have their turns first, and among equals each `owner` a share by its `weight`; in it, those of
    one `group` (where that is empty, a request is its own) together have as much as those of another. Every
    choice by itself keeps to the `constraint`, and ends when the constraint leaves nothing to add. Tokens of
    `shown_token_ids` are control tokens that are written out in the text; those that end generation never
    are. Stop strings count in content alone, of which `reasoning` and `layout` say where it stands.
    `max_drafted` is how many tokens may be guessed and computed at once; None leaves it to the engine.
    `predicted_token_ids` are what the answer may be much like. Neither changes a text. `lora` are adapters
    that the engine knows, none twice, sorted, and none that counts 0. In the places of `media`, which come in
    their order and do not overlap, `token_ids` are -1.
    """

    id: str
    token_ids: tuple[int, ...]
    params: SamplingParams
    n: int = 1
    cache_salt: str = ""
    num_public_tokens: int = 0
    owner: str = ""
    group: str = ""
    weight: float = 1.0
    priority: int = 0
    num_prompt_logprobs: int | None = None
    probes: tuple[tuple[int, ...], ...] = ()
    cost: int | None = None
    tells_token_ids: bool = False
    tells_progress: bool = False
    num_traced: int | None = None
    num_continued: int = 0
    drawn: tuple[tuple[int, ...] | None, ...] = ()
    constraint: Constraint | None = None
    reasoning: Reasoning | None = None
    shown_token_ids: tuple[int, ...] = ()
    layout: AnswerLayout | None = None
    max_drafted: int | None = None
    predicted_token_ids: tuple[int, ...] = ()
    lora: AdapterSet = ()
    media: tuple[MediaRun, ...] = ()

    @property
    def indexes(self) -> tuple[int, ...]:
        """The choices that are to be drawn: all but those that have ended elsewhere."""
        return tuple(index for index in range(self.n) if self.drawn[index : index + 1] != (None,))

    @property
    def is_background(self) -> bool:
        """Whether it gives way to all requests that are not."""
        return self.priority <= BACKGROUND_PRIORITY

    @property
    def num_scores(self) -> int:
        """How many log probabilities of its prompt a choice tells, where any are asked for."""
        return sum(map(len, self.probes)) if self.probes else len(self.token_ids) - 1
