"""The draw of one sequence: its own state and its own randomness, so that neighbours never matter."""

import copy
import random
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import numpy as np

from caravan.engine.constraints.guide import Guide
from caravan.engine.constraints.token_mask import ConstraintError
from caravan.engine.continuation import admit
from caravan.engine.interfaces import Mask
from caravan.engine.outputs import TokenLogprob
from caravan.engine.params import SamplingParams
from caravan.engine.sampling.candidates import Candidates, Floats, Ids, LogSoftmax, check_peak, from_row
from caravan.engine.sampling.draws import Mirostat, draw_stage, follow
from caravan.engine.sampling.infill import Infill
from caravan.engine.sampling.logits_processors import (
    Breakers,
    Dry,
    LogitsProcessor,
    VocabularyRules,
    repetition_penalties,
)
from caravan.engine.sampling.native_draw import native_draw
from caravan.engine.sampling.stages import leading_top_k, ordered_stages


class TokenSpace:
    """What samplers of one model share: all token ids in order, which end generation, and their bytes."""

    def __init__(
        self,
        vocab_size: int,
        end_ids: Collection[int],
        token_bytes: Callable[[int], bytes] = lambda _: b"",
    ) -> None:
        self.ids: Ids = np.arange(vocab_size, dtype=np.int32)
        self.end_ids = frozenset(end_ids)
        self.token_bytes = token_bytes
        self._sequences: tuple[tuple[int, ...], ...] = ()
        self._breakers: Breakers = {}

    def breakers(self, sequences: tuple[tuple[int, ...], ...]) -> Breakers:
        """DRY's breakers by their heads; the choices of a request share one table, which may be large."""
        if sequences is not self._sequences:
            table: dict[int, tuple[tuple[int, ...], ...]] = {}
            for head, *tail in sequences:
                table[head] = (*table.get(head, ()), tuple(tail))
            self._sequences, self._breakers = sequences, table
        return self._breakers


class Sampler:
    """Bias and bans, penalties, DRY, mask, truncation, temperature, draw: in this order, each if it has an
    effect. A request may have the temperature before truncation.

    `is_argmax` says that all of it comes to taking the likeliest token, and then nothing else is done.
    Penalties and DRY look at the prompt too, as in llama.cpp. `last_logprob` is that of the last draw, taken
    before the mask, or of what was left in the end, if `num_logprobs` asks for it; `sum_logprob` their sum,
    if `score` does.
    """

    def __init__(
        self,
        params: SamplingParams,
        prompt: Sequence[int],
        index: int,
        tokens: TokenSpace,
        guide: Guide | None = None,
    ) -> None:
        self._tokens = tokens
        self._rng = random.Random(_stream(params.seed, index))
        rules = VocabularyRules(params, tokens.end_ids, len(prompt))
        self._is_ruled = not rules.is_neutral
        self._processors: list[LogitsProcessor] = [
            *([rules] if self._is_ruled else ()),
            *repetition_penalties(params),
            *_dry(params, tokens),
        ]
        for processor in self._processors:
            processor.accept(prompt)
        self._infill = Infill(tokens.end_ids, tokens.token_bytes)
        self._stages = ordered_stages(params, self._rng, self._infill)
        self._at_most = leading_top_k(params)
        self._draw = draw_stage(params, len(tokens.ids))
        self._native = native_draw(params, len(tokens.ids))
        self.guide = guide
        self.sum_logprob = 0.0 if params.score else None
        self.last_logprob: TokenLogprob | None = None
        self._num_logprobs = params.num_logprobs
        self._is_measured = params.score or params.num_logprobs is not None
        self._tells_drawn = params.tells_drawn
        self._softmax: LogSoftmax | None = None
        self._is_greedy = _takes_likeliest(params) and not params.tells_drawn
        self.is_argmax = self._is_greedy and not self._processors

    @property
    def mirostat_mu(self) -> float | None:
        """Mirostat's limit on surprise in bits, where it draws."""
        return self._draw.mu if isinstance(self._draw, Mirostat) else None

    @property
    def is_complete(self) -> bool:
        """Whether a constraint leaves nothing to add."""
        return self.guide is not None and self.guide.is_complete

    @property
    def num_reasoning_tokens(self) -> int:
        """Tokens of thinking, its markers included."""
        return 0 if self.guide is None else self.guide.num_reasoning_tokens

    @property
    def next_mask(self) -> Mask | None:
        """The mask that the next draw will certainly need."""
        return None if self.guide is None or self.is_argmax else self.guide.next_mask

    def end_thoughts(self) -> None:
        """Have a thought end with the next token."""
        if self.guide is not None:
            self.guide.end_thoughts()

    def sample(self, logits: Floats) -> int:
        """Draw a token from a row of logits [vocab_size], which is changed on the way, and remember it.

        Raises ValueError when every token is banned or a logit is no number.
        """
        if self.guide is not None and (forced := self.guide.forced(is_ruled=self._is_ruled)):
            return self._take(forced[0], logits)
        if self.is_argmax:
            best = _argmax(logits)
            if self.guide is None or self.guide.admits(best):
                self._measure(logits, self._tokens.ids)
                self._note(best)
                return best
        if self._is_greedy and self.guide is None:
            # What truncates keeps the likeliest, whatever else it leaves out.
            self._weigh(logits)
            token_id = _argmax(logits)
        else:
            self._weigh(logits)
            # A guide may have come since this was made.
            native = self._native if self.guide is None else None
            drawn = None if native is None else native(logits, self._rng)
            token_id = self._admitted(logits, self._staged(logits)) if drawn is None else drawn
        self._note(token_id)
        self._remember(token_id)
        return token_id

    def stand(self, token_ids: Iterable[int]) -> None:
        """Take tokens that stand in the text already; whatever binds the draw has been led over them."""
        for processor in self._processors:
            processor.accept(token_ids)

    def follow(self, logits: Floats, token_id: int) -> None:
        """Take a token that stands as if it had been drawn from this row [vocab_size], which is changed.

        Chance and the state of the draw go on by as much. Raises ContinuationError and ConstraintError.
        """
        is_forced = self.guide is not None and bool(self.guide.forced(is_ruled=self._is_ruled))
        if not is_forced and not self.is_argmax:
            follow(self._draw, self.candidates(logits), token_id, self._rng)
        if self.guide is not None:
            admit(self.guide, token_id)
        self._remember(token_id)

    @property
    def is_plain(self) -> bool:
        """Whether draws touch nothing that other sequences touch: there is no constraint, nor thinking."""
        return self.guide is None

    def next_tokens(self, logits: Floats) -> Iterator[int]:
        """`sample`, and then the tokens that follow without a draw, each remembered as it is taken.

        None follow where log probabilities are wanted: those come with rows of logits only.
        """
        yield self.sample(logits)
        if self.guide is None or self._is_measured:
            return
        for token_id in self.guide.forced(is_ruled=self._is_ruled):
            if not self.guide.admits(token_id):
                return
            self._remember(token_id)
            yield token_id

    def _take(self, token_id: int, logits: Floats) -> int:
        """Remember a token that is not drawn."""
        if self._is_measured:
            self._weigh(logits)
            if self._tells_drawn:
                self._measure(logits[[token_id]], np.array([token_id], np.int32))
            self._note(token_id)
        if self.guide is not None and not self.guide.admits(token_id):
            raise ConstraintError("it contradicts itself")
        self._remember(token_id)
        return token_id

    def _admitted(self, logits: Floats, left: Candidates) -> int:
        """Draw until a token's text may follow; those refused are banned, and teach the draw nothing."""
        if self.guide is None:
            return self._draw(left, self._rng)
        while True:
            draw = copy.copy(self._draw)
            token_id = draw(left, self._rng)
            if self.guide.admits(token_id):
                self._draw = draw
                return token_id
            logits[token_id] = -np.inf
            left = self._staged(logits)

    def candidates(self, logits: Floats) -> Candidates:
        """Return what the next draw chooses from, tempered; the row is changed as in `sample`.

        Mirostat leaves out more and adaptive-p weighs anew, both as part of the draw.
        """
        self._weigh(logits)
        return self._staged(logits)

    def _weigh(self, logits: Floats) -> None:
        """Change a row by all that is not the constraint's, and measure it."""
        for processor in self._processors:
            processor.apply(logits)
        if not self._tells_drawn:
            self._measure(logits, self._tokens.ids)

    def _staged(self, logits: Floats) -> Candidates:
        left, self._infill.row = self._possible(logits), logits
        for stage in self._stages:
            left = stage(left)
        if self._tells_drawn:
            self._measure(left.logits, left.ids)
        return left

    def _measure(self, logits: Floats, ids: Ids) -> None:
        """Take the softmax of some tokens' logits where log probabilities are taken, if anybody wants them.

        A constraint changes the row afterwards, though not the logits of what it allows.
        """
        if self._is_measured:
            self._softmax = LogSoftmax(logits, ids, self._num_logprobs or 0)

    def _note(self, token_id: int) -> None:
        """Keep what is wanted of a drawn token's log probability."""
        if self._softmax is None:
            return
        found = self._softmax.of(token_id)
        if self.sum_logprob is not None:
            self.sum_logprob += found.logprob
        if self._num_logprobs is not None:
            self.last_logprob = found

    def _possible(self, logits: Floats) -> Candidates:
        """The tokens that the constraint allows, if there is one."""
        if self.guide is None:
            return from_row(logits, self._tokens.ids, self._at_most)
        allowed = self.guide.forbid(logits)
        if allowed is not None and not len(allowed):
            raise ConstraintError("no token of this model may come next")
        try:
            if allowed is not None:
                return from_row(logits[allowed], allowed)
            return from_row(logits, self._tokens.ids, self._at_most)
        except ValueError as error:
            raise ConstraintError(f"what it allows is ruled out otherwise: {error}") from error

    def _remember(self, token_id: int) -> None:
        for processor in self._processors:
            processor.accept([token_id])


def _takes_likeliest(params: SamplingParams) -> bool:
    """Of what comes after penalties, only these few can make greedy decoding leave the likeliest token."""
    return (
        params.temperature == 0
        and params.dynatemp_range == 0
        and params.xtc_probability == 0
        and params.typical_p == 1
        and params.mirostat == 0
        and "infill" not in params.samplers
    )


def _argmax(logits: Floats) -> int:
    token_id = int(logits.argmax())
    # NumPy's argmax finds a NaN before any number, so one look covers the whole row.
    check_peak(logits[token_id])
    return token_id


def _dry(params: SamplingParams, tokens: TokenSpace) -> Iterator[Dry]:
    if params.dry_multiplier != 0 and params.dry_penalty_last_n != 0:
        yield Dry(
            multiplier=params.dry_multiplier,
            base=params.dry_base,
            allowed_length=params.dry_allowed_length,
            window=params.dry_penalty_last_n,
            breakers=tokens.breakers(params.dry_breakers),
        )


def _stream(seed: int | None, index: int) -> str | int:
    """What seeds the generator of choice `index`. Text is hashed, so seeds and choices are independent."""
    return secrets.randbits(64) if seed is None else f"{seed}/{index}"
