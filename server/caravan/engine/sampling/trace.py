"""A draw that tells how it came about: after each stage, which tokens were left and how likely each was.

Nothing is computed a second way. `TracedSampler` is the sampler itself, whose processors and stages are
looked at as they act.
"""

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from caravan.engine.constraints.guide import Guide
from caravan.engine.outputs import StageTrace, StepTrace, packed_top
from caravan.engine.params import SamplingParams
from caravan.engine.sampling.candidates import Candidates, Floats, Ids
from caravan.engine.sampling.draws import choices
from caravan.engine.sampling.logits_processors import Dry, LogitsProcessor, RepetitionPenalties
from caravan.engine.sampling.sampler import Sampler, TokenSpace
from caravan.engine.sampling.stages import Stage, stage_names

# A token that cannot come has no logarithm; minus infinity is no JSON.
_LEAST = -9999.0


class _Level:
    """The tokens that a stage has left, with what their probabilities are taken from."""

    def __init__(self, ids: Ids, logits: Floats) -> None:
        is_whole = logits.min(initial=np.inf) > -np.inf
        places = slice(None) if is_whole else (logits > -np.inf).nonzero()[0]
        # A row is changed in place by what comes next.
        self.ids, self.logits = ids[places], logits[places].copy() if is_whole else logits[places]
        self.log_total = self.entropy = self.deviation = 0.0
        if len(self.ids):
            self._weigh()

    def _weigh(self) -> None:
        """Take the softmax; of a row that is refused as no numbers, what comes of it is told to nobody."""
        peak = self.logits.max()
        if not np.isfinite(peak):
            return
        below = self.logits - peak
        weights = np.exp(below)
        total = float(weights.sum(dtype=np.float64))
        self.deviation = _deviation(below)
        np.multiply(weights, below, out=below)
        if total > 0:
            self.log_total = float(peak) + math.log(total)
            self.entropy = max(0.0, math.log(total) - float(below.sum(dtype=np.float64)) / total)

    @property
    def size(self) -> int:
        return len(self.ids)

    def logprob(self, token_id: int) -> float:
        """How likely a token is, as a logarithm."""
        place = int(self.ids.searchsorted(np.int32(token_id)))
        if place == self.size or self.ids[place] != token_id:
            return _LEAST
        return max(float(self.logits[place]) - self.log_total, _LEAST)

    def mass_of(self, ids: Ids) -> float:
        """How likely these tokens, which ascend, are together."""
        places = np.minimum(self.ids.searchsorted(ids), self.size - 1)
        places = places[self.ids[places] == ids]
        return float(np.exp(self.logits[places].astype(np.float64) - self.log_total).sum())

    def likeliest(self, count: int) -> bytes:
        """Pack the likeliest, of equal ones the first by id, with their logits."""
        top = Candidates(self.ids, self.logits).top(count)
        order = np.argsort(-top.logits, kind="stable")
        return packed_top(top.ids[order].tolist(), top.logits[order].tolist())


def _deviation(values: Floats) -> float:
    """Standard deviation, as `top_n_sigma` takes it.

    Copies of a large row in float64 are given back to the system each time, and come back page by page: that
    took four times as long as all the rest of a level.
    """
    square = float(np.einsum("i,i->", values, values, dtype=np.float64)) / len(values)
    return math.sqrt(max(0.0, square - float(values.mean(dtype=np.float64)) ** 2))


class _Recorder:
    """The stages of one step as they are told; the first level is the row as the model gave it."""

    def __init__(self, num_candidates: int, ids: Ids) -> None:
        self._num_candidates = num_candidates
        self._ids = ids
        self.is_on = True
        self._stages: list[tuple[StageTrace, _Level]] = []
        self._num_weighed = 0

    def begin(self, row: Floats) -> None:
        """Begin a step with its row of logits [vocab_size]."""
        self._stages = []
        self._num_weighed = 1
        self.note("raw", self._ids, row)

    def weighed(self, name: str, row: Floats) -> None:
        """Tell of a row that has been changed, as it was before anything was left out by a constraint."""
        self.note(name, self._ids, row)
        self._num_weighed = len(self._stages)

    def note(self, name: str, ids: Ids, logits: Floats) -> None:
        """Tell which tokens a stage has left; `ids` ascend, banned ones (minus infinity) are none of them.

        Nothing is told while it is not on.
        """
        if not self.is_on:
            return
        level = _Level(ids, logits)
        before = self.last if self._stages else level
        num_cut = before.size - level.size
        kept = before.mass_of(level.ids) if num_cut and level.size else 1.0
        told = StageTrace(
            name=name,
            num_left=level.size,
            num_cut=num_cut,
            cut_mass=min(max(1.0 - kept, 0.0), 1.0),
            entropy=level.entropy,
            deviation=level.deviation,
            log_total=level.log_total,
            top=level.likeliest(self._num_candidates) if level.size else b"",
        )
        self._stages.append((told, level))

    def rewind(self) -> None:
        """Forget what came after the row was weighed: a refused token is banned, and all of it comes anew."""
        del self._stages[self._num_weighed :]

    def keep_raw(self) -> None:
        """Forget all but the row as it was given."""
        del self._stages[1:]

    @property
    def last(self) -> _Level:
        return self._stages[-1][1]

    @property
    def raw(self) -> _Level:
        return self._stages[0][1]

    @property
    def stages(self) -> tuple[StageTrace, ...]:
        return tuple(told for told, _ in self._stages)


class _TracedProcessor:
    """A processor that is looked at."""

    def __init__(self, processor: LogitsProcessor, recorder: _Recorder) -> None:
        self._processor = processor
        self._recorder = recorder
        kinds = {RepetitionPenalties: "penalties", Dry: "dry"}
        self._name = kinds.get(type(processor), "bias")

    def accept(self, token_ids: Iterable[int]) -> None:
        """Note the next tokens of the text."""
        self._processor.accept(token_ids)

    def apply(self, logits: Floats) -> None:
        """Change a row of logits [vocab_size] in place."""
        self._processor.apply(logits)
        self._recorder.weighed(self._name, logits)


class TracedSampler(Sampler):
    """Draws as `Sampler` does, and keeps a `StepTrace` of each draw, with the `num_candidates` likeliest
    tokens of each stage.

    The stages: `raw`, `bias`, `penalties`, `dry`, `mask`, those that the request orders, and `draw`. What has
    no effect by its value is not among them. Where everything comes to taking the likeliest token, nothing
    else is done, and there are `raw` and `draw` alone; where a token is not drawn there is `raw` alone.
    """

    def __init__(
        self,
        params: SamplingParams,
        prompt: Sequence[int],
        index: int,
        tokens: TokenSpace,
        guide: Guide | None = None,
        *,
        num_candidates: int,
    ) -> None:
        super().__init__(params, prompt, index, tokens, guide)
        # Each stage is to be told.
        self._is_greedy, self._native = False, None
        self._recorder = _Recorder(num_candidates, tokens.ids)
        self._processors = [_TracedProcessor(one, self._recorder) for one in self._processors]
        named = zip(stage_names(params), self._stages, strict=True)
        self._stages = [self._traced(name, stage) for name, stage in named]
        self._traces: list[StepTrace] = []
        self._is_forced = False

    def tell(self) -> tuple[StepTrace, ...]:
        """Tell the steps since the last time."""
        told, self._traces = tuple(self._traces), []
        return told

    def sample(self, logits: Floats) -> int:
        """Draw as `Sampler.sample` does, and keep the trace."""
        recorder, mu = self._recorder, self.mirostat_mu
        recorder.begin(logits)
        self._is_forced = False
        token_id = super().sample(logits)
        if self._is_forced:
            recorder.keep_raw()
        elif recorder.stages[-1].name != "draw":
            recorder.note("draw", np.array([token_id], np.int32), logits[[token_id]])
        trace = StepTrace(
            token_id=token_id,
            is_forced=self._is_forced,
            probability=1.0 if self._is_forced else math.exp(recorder.last.logprob(token_id)),
            logprob=recorder.raw.logprob(token_id),
            stages=recorder.stages,
            mu=None if mu is None or self._is_forced else (mu, self.mirostat_mu or 0.0),
        )
        self._traces.append(trace)
        return token_id

    def follow(self, logits: Floats, token_id: int) -> None:
        """Take a token that stands as `Sampler.follow` does; nothing is told of it."""
        self._recorder.is_on = False
        super().follow(logits, token_id)
        self._recorder.is_on = True

    def next_tokens(self, logits: Floats) -> Iterator[int]:
        """Draw one: each token has a row of its own, also those that are forced."""
        yield self.sample(logits)

    def _take(self, token_id: int, logits: Floats) -> int:
        self._is_forced = True
        return super()._take(token_id, logits)

    def _staged(self, logits: Floats) -> Candidates:
        self._recorder.rewind()
        left = super()._staged(logits)
        if self._recorder.is_on:
            chosen = choices(self._draw, left)
            self._recorder.note("draw", chosen.ids, chosen.logits)
        return left

    def _possible(self, logits: Floats) -> Candidates:
        has_mask = self.next_mask is not None
        left = super()._possible(logits)
        if self.guide is not None and self._recorder.is_on:
            num_left = int(np.count_nonzero(logits > -np.inf))
            if has_mask or num_left < self._recorder.last.size:
                self._recorder.note("mask", self._tokens.ids, logits)
        return left

    def _traced(self, name: str, stage: Stage) -> Stage:
        def act(candidates: Candidates) -> Candidates:
            left = stage(candidates)
            self._recorder.note(name, left.ids, left.logits)
            return left

        return act
