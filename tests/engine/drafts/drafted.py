"""Engines that draft, over a context whose every token depends on all that a sequence can see, and proposers
that know the true text.
"""

import random
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import msgspec
import pytest
from caravan.engine.drafts.chain import ProposerChain
from caravan.engine.drafts.drafter import Drafter, MakeChain
from caravan.engine.drafts.proposer import DraftSource
from caravan.engine.outputs import StepTrace, TokenLogprob
from caravan.engine.params import GenerationRequest
from caravan.engine.sequence import Sequence
from caravan.engine.work import Work

from tests.engine.guided import SIZE, MarkerVocab
from tests.engine.harness import Harness, Key
from tests.fakes import FakeContext


class Known(NamedTuple):
    """All that a client learns of a choice."""

    text: str
    reason: str
    token_ids: tuple[int, ...]
    logprobs: tuple[TokenLogprob, ...]
    traces: tuple[StepTrace, ...]
    stop_string: str | None
    counts: tuple[int, int]
    numbers: tuple[float | None, float | None]


class Drafted(Harness):
    """An engine whose books are checked after each step; a request's tokens are told."""

    vocab = MarkerVocab()

    def __init__(
        self,
        max_drafted: int,
        make_chain: MakeChain | None = None,
        context: FakeContext | None = None,
        *,
        max_running: int = 8,
        num_sampling_threads: int = 1,
    ) -> None:
        context = context or FakeContext(vocab_size=SIZE)
        super().__init__(
            context,
            batch_size=64,
            context_size=min(512, context.num_cells),
            max_running=max_running,
            num_sampling_threads=num_sampling_threads,
            max_drafted=max_drafted,
            make_chain=make_chain,
        )

    def known(self, requests: Iterable[GenerationRequest]) -> dict[Key, Known]:
        """What clients learn of requests that come together."""
        for item in requests:
            self.engine.submit(msgspec.structs.replace(item, tells_token_ids=True))
        self.finish(lambda _turn: self.check_cells())
        found = defaultdict(list)
        for output in self.outputs:
            found[output.request_id, output.index].append(output)
        return {
            key: Known(
                "".join(output.text for output in outputs),
                str(outputs[-1].finish_reason),
                tuple(token_id for output in outputs for token_id in output.token_ids),
                tuple(entry for output in outputs for entry in output.logprobs),
                tuple(trace for output in outputs for trace in output.traces),
                outputs[-1].stop_string,
                (outputs[-1].num_completion_tokens, outputs[-1].num_reasoning_tokens),
                (outputs[-1].sum_logprob, outputs[-1].mirostat_mu),
            )
            for key, outputs in found.items()
        }

    def check_cells(self) -> None:
        """That cells hold what is booked, and of running sequences nothing but their text."""
        tree = self.engine._kv_cache._tree
        assert isinstance(self.context, FakeContext)
        for seq_id in tree.seq_ids:
            held = [token_id for token_id, _ in self.context.cells.get(seq_id, [])]
            assert held == [key & 0xFFFFFFFF for key in tree.tokens(seq_id)]
        for sequence in self.engine._scheduler.running:
            held = [token_id for token_id, _ in self.context.cells.get(sequence.seq_id or 0, [])]
            assert held == sequence.token_ids[: sequence.num_computed_tokens]
            assert sequence.num_missing_tokens > 0
        assert self.engine.stats().num_cells_used == self.context.num_cells_used


class TrueText:
    """Proposes what the text is known to become, but for a share of errors."""

    def __init__(self, texts: list[list[int]], errors: float, source: DraftSource) -> None:
        self._texts = texts
        self._errors = errors
        self._rng = random.Random(1)
        self._source = source

    @property
    def source(self) -> DraftSource:
        return self._source

    def propose(self, token_ids: list[int], most: int) -> list[int]:
        count = len(token_ids)
        rest = next((text[count : count + most] for text in self._texts if text[:count] == token_ids), [])
        wrong = [self._rng.random() < self._errors for _ in rest]
        return [(token_id + is_wrong) % SIZE for token_id, is_wrong in zip(rest, wrong, strict=True)]


def telling(
    requests: Iterable[GenerationRequest],
    known: dict[Key, Known],
    errors: float,
    source: DraftSource = DraftSource.NGRAM,
) -> MakeChain:
    """Make proposers that have seen these answers."""
    texts = {
        item.id: [[*item.token_ids, *known[item.id, index].token_ids] for index in range(item.n)]
        for item in requests
    }
    return lambda item: ProposerChain([TrueText(texts[item.id], errors, source)])


def draft_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have all guess in each step, and each draft computed as far as there is room, whatever it costs."""

    def counts(
        work: list[Work], drafts: list[tuple[int, ...]], room: int, _curve: list[float] | None
    ) -> list[int]:
        found = []
        for _, draft in zip(work, drafts, strict=True):
            found.append(min(len(draft), room))
            room -= found[-1]
        return found

    def asks(sequence: Sequence, _num_streams: int) -> bool:
        return sequence.drafting is not None

    monkeypatch.setattr(Drafter, "_counts", staticmethod(counts))
    monkeypatch.setattr(Drafter, "_asks", staticmethod(asks))
