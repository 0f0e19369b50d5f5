"""Labels scored by the engine: one request for each branch of each question, a few of them at a time.

The caller holds the model; the key is charged here, and the tokens counted.
"""

import asyncio
import contextlib
import itertools
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from caravan.api.context import RequestContext
from caravan.api.decisions.label_tokens import Labelled
from caravan.api.decisions.label_trie import Branch, LabelTrie, num_common
from caravan.api.decisions.probabilities import LabelScore
from caravan.api.params.adapters import adapter_set
from caravan.api.prepared import num_public_tokens
from caravan.auth.principal import Principal
from caravan.engine.outputs import TokenLogprob
from caravan.engine.params import GenerationRequest, SamplingParams
from caravan.errors import EngineFailedError
from caravan.models.loaded_model import LoadedModel
from caravan.runtime.threads import in_busy_thread, in_thread

# Branches in the engine's hands: enough to fill its steps, and others find the queue open.
_AT_ONCE = 32
_NOTHING_DRAWN = SamplingParams(max_tokens=0)


@dataclass
class _Open:
    """A question of which some branches are still to be told."""

    place: int
    asked: Labelled
    trie: LabelTrie
    num_new: int
    told: dict[int, Sequence[TokenLogprob]] = field(default_factory=dict)


class Scoring:
    """Scores the labels of several prompts, in one run; `num_...` count tokens.

    A prompt counts with what the one before does not begin with. Make it in a thread: all prompts are read.
    """

    def __init__(
        self,
        model: LoadedModel,
        prompts: Sequence[Labelled],
        end_ids: Sequence[int],
        request_id: str,
        principal: Principal,
    ) -> None:
        self._model = model
        self._prompts = prompts
        self._end_ids = end_ids
        self._request_id = request_id
        self._principal = principal
        self._scores: list[list[LabelScore]] = [[] for _ in prompts]
        before = [array("i"), *(prompt.token_ids for prompt in prompts)]
        self._num_new = [
            len(prompt.token_ids) - num_common(prompt.token_ids, last)
            for prompt, last in zip(prompts, before, strict=False)
        ]
        self.num_prompt_tokens = sum(self._num_new)
        self.num_cached_tokens = 0
        self.num_label_tokens = 0

    async def run(self) -> list[list[LabelScore]]:
        """Score the labels of each prompt; cancelling it aborts what runs. Raises what the engine raises."""
        jobs = self._jobs()
        count = max(1, min(_AT_ONCE, self._model.engine.num_places))
        workers = [asyncio.create_task(self._work(jobs)) for _ in range(count)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        return self._scores

    def _jobs(self) -> Iterator[tuple[_Open, int]]:
        """Yield the branches, question after question; a trie lives as long as its question is open."""
        for place, asked in enumerate(self._prompts):
            question = _Open(place, asked, LabelTrie(asked.labels, self._end_ids), self._num_new[place])
            self.num_label_tokens += question.trie.num_nodes
            yield from zip(itertools.repeat(question), range(len(question.trie.branches)), strict=False)

    async def _work(self, jobs: Iterator[tuple[_Open, int]]) -> None:
        for question, index in jobs:
            request = self._request(question, index, question.trie.branches[index])
            told: Sequence[TokenLogprob] = ()
            num_cached = 0
            async with contextlib.aclosing(self._model.engine.generate(request)) as outputs:
                async for output in outputs:
                    told = output.prompt_logprobs or told
                    num_cached = output.num_cached_tokens
            if len(told) != request.num_scores:
                raise EngineFailedError("the engine had no room for a label")
            if not index:
                num_shared = len(question.asked.token_ids) - question.num_new
                self.num_cached_tokens += min(max(0, num_cached - num_shared), question.num_new)
            question.told[index] = told
            branches = question.trie.branches
            if len(question.told) == len(branches):
                ordered = [question.told[number] for number in range(len(branches))]
                self._scores[question.place] = question.trie.scores(ordered)

    def _request(self, question: _Open, index: int, branch: Branch) -> GenerationRequest:
        who = self._principal
        token_ids = (*question.asked.token_ids, *branch.path)
        return GenerationRequest(
            id=f"{self._request_id}-{question.place}-{index}",
            token_ids=token_ids,
            params=_NOTHING_DRAWN,
            cache_salt=who.cache_group,
            num_public_tokens=num_public_tokens(token_ids, self._model.public_prefixes),
            owner=who.id,
            group=self._request_id,
            weight=who.weight,
            priority=who.priority,
            probes=branch.probes,
            lora=adapter_set(None, self._model, self._principal),
            cost=len(branch.probes) + (0 if index else question.num_new),
        )


@dataclass(frozen=True)
class Scored:
    """`scores` are those of the labels of each prompt of `scoring`."""

    model: LoadedModel
    scoring: Scoring
    scores: list[list[LabelScore]]


async def scored(
    model: LoadedModel,
    model_name: str,
    context: RequestContext,
    who: Principal,
    read: Callable[[LoadedModel], Scoring],
    *,
    is_much: bool,
) -> Scored:
    """Read a request in a thread and score its labels. Cancelling it aborts the work in the engine.

    The caller holds the model. What reading refuses and what the engine raises is raised. One that `is_much`
    waits for none but its like.
    """
    entry = context.metrics
    model.engine.check_room(who.id, who.weight, 1)
    async with (model.long_threads if is_much else model.threads).held(who.id, who.weight):
        scoring = await (in_busy_thread(lambda: read(model)) if is_much else in_thread(read, model))
    entry.requested_model = model_name
    async with context.charged(model.id, scoring.num_prompt_tokens):
        try:
            scores = await scoring.run()
        finally:
            entry.num_cached_tokens += scoring.num_cached_tokens
    entry.num_completion_tokens += scoring.num_label_tokens
    return Scored(model, scoring, scores)
