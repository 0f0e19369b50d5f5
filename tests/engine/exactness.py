"""Requests whose answers, numbers included, must be the same in every situation, and these situations.

An answer is a text and its log probabilities as they are: equal means to the last bit.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from caravan.engine.outputs import TokenLogprob
from caravan.engine.params import GenerationRequest, SamplingParams
from caravan.grammars.constraint import Constraint

from tests.engine.real_harness import RealHarness

Answer = tuple[str, tuple[TokenLogprob, ...]]
Answers = dict[tuple[str, int], Answer]
# Words of small letters; as `caravan.grammars.compiler` writes constraints.
WORDS = Constraint(grammar='start: WORD (" " WORD)*\nWORD: /[a-z]{1,8}/\n')
DRAWS = (
    {"temperature": 0.0},
    {"temperature": 0.8, "seed": 7},
    {
        "temperature": 1.2,
        "seed": 11,
        "repeat_penalty": 1.1,
        "presence_penalty": 0.3,
        "frequency_penalty": 0.2,
    },
)


class Exactness:
    """Requests to a model, and what each answers alone in a context that holds nothing else."""

    def __init__(
        self,
        path: Path,
        prompts: list[list[int]],
        num_tokens: int,
        num_others: int,
        make_harness: Callable[..., RealHarness] = RealHarness,
    ) -> None:
        self.path = path
        self._make_harness = make_harness
        self._rng = random.Random(1)
        self._num_tokens = num_tokens
        self._num_others = num_others
        self.requests = [
            self._request(f"prompt {p}, draw {d}", prompt, dict(draw))
            for p, prompt in enumerate(prompts)
            for d, draw in enumerate(DRAWS)
        ]
        first = self.requests[1]
        self.requests.append(msgspec.structs.replace(first, id="three choices", n=3))
        self.requests.append(msgspec.structs.replace(first, id="constrained", constraint=WORDS))
        with self.engine() as harness:
            for request in self.requests:
                harness.engine._kv_cache.clear()
                harness.run([request])
            self.expected = self._answers(harness)

    @contextmanager
    def engine(self, *, num_cells: int = 4096, max_sequences: int = 32) -> Iterator[RealHarness]:
        """An engine over the model, as it is served: flash attention, float16 cells."""
        harness = self._make_harness(
            self.path, num_cells=num_cells, max_sequences=max_sequences, max_running=16
        )
        try:
            yield harness
        finally:
            harness.close()

    def others(
        self, count: int, *, longest: int = 120, tokens: tuple[int, int] = (2, 40)
    ) -> list[GenerationRequest]:
        """Requests that are only there to be in the way."""
        return [
            GenerationRequest(
                id=f"other {self._rng.random()}",
                token_ids=tuple(self._rng.randrange(33, 256) for _ in range(self._rng.randrange(1, longest))),
                params=SamplingParams(max_tokens=self._rng.randrange(*tokens), ignore_eos=True, seed=3),
            )
            for _ in range(count)
        ]

    def check(self, harness: RealHarness) -> None:
        """That the engine has answered all requests since the last check, each as if it were alone."""
        found = self._answers(harness)
        harness.outputs.clear()
        assert found.keys() == self.expected.keys()
        assert {key: answer for key, answer in found.items() if answer != self.expected[key]} == {}

    def again_and_again(self) -> None:
        """One after the other, twice, then in reverse order: warm."""
        with self.engine() as harness:
            for requests in (self.requests, self.requests, self.requests[::-1]):
                for request in requests:
                    harness.run([request])
                self.check(harness)
            assert harness.engine.stats().num_cached_tokens > 0 or not harness.context.can_cut

    def after_others(self) -> None:
        """One after the other, after others that have left, some of them out of the cells."""
        with self.engine() as harness:
            harness.run(self.others(self._num_others))
            for request in self.requests:
                harness.run([request])
            self.check(harness)

    def all_at_once(self) -> None:
        """In one batch, each beginning with what others compute at the same time."""
        with self.engine() as harness:
            harness.run(self.requests)
            self.check(harness)

    def among_others(self) -> None:
        """Arriving at random moments among others, 1 to 16 at a time."""
        with self.engine() as harness:
            pending = self.requests + self.others(self._num_others)
            self._rng.shuffle(pending)

            def arrive(_turn: int) -> None:
                while pending and (harness.engine.is_idle or self._rng.random() < 0.2):
                    harness.engine.submit(pending.pop())

            harness.finish(arrive)
            self.check(harness)

    def preempted(self) -> None:
        """With so few cells that sequences are sent back again and again."""
        with self.engine(num_cells=256) as harness:
            harness.run(self.others(8, longest=20, tokens=(80, 100)) + self.requests)
            self.check(harness)
            assert harness.engine.stats().num_preemptions > 0 or not harness.context.can_cut

    def evicted(self) -> None:
        """With so few sequence ids that nothing stays for long."""
        with self.engine(max_sequences=4) as harness:
            for request in self.requests:
                harness.run([request, *self.others(2)])
            self.check(harness)
            harness.run(self.requests)
            self.check(harness)
            assert harness.engine.stats().num_evictions > 0

    def offloaded(self) -> None:
        """Out of the cells while others run, and back for the next request with the same beginning."""
        with self.engine() as harness:
            for request in self.requests:
                harness.run([request])
            harness.outputs.clear()
            harness.run(self.others(self._num_others, longest=10))
            assert harness.engine.stats().num_offloaded_tokens > 0 or not harness.context.can_offload
            for request in self.requests:
                harness.run([request])
            self.check(harness)

    def _request(self, name: str, token_ids: list[int], draw: dict[str, float]) -> GenerationRequest:
        params = SamplingParams(
            max_tokens=self._num_tokens,
            ignore_eos=True,
            num_logprobs=2,
            **draw,  # type: ignore[arg-type]
        )
        return GenerationRequest(id=name, token_ids=tuple(token_ids), params=params)

    @staticmethod
    def _answers(harness: RealHarness) -> Answers:
        """What was asked here; others' answers are nobody's business."""
        texts: dict[tuple[str, int], str] = defaultdict(str)
        logprobs: dict[tuple[str, int], tuple[TokenLogprob, ...]] = defaultdict(tuple)
        for output in harness.outputs:
            if not output.request_id.startswith("other"):
                key = (output.request_id, output.index)
                texts[key] += output.text
                logprobs[key] += output.logprobs
        return {key: (text, logprobs[key]) for key, text in texts.items()}


SITUATIONS: dict[str, Callable[[Exactness], None]] = {
    "again and again": Exactness.again_and_again,
    "after others": Exactness.after_others,
    "all at once": Exactness.all_at_once,
    "among others": Exactness.among_others,
    "preempted": Exactness.preempted,
    "evicted": Exactness.evicted,
    "offloaded": Exactness.offloaded,
}
