"""What constraints cost streams: `python -m tests.bench.masks` prints a table.

Eight streams of one engine in this process, with and without a constraint, turn by turn, so that a busy
machine slows all alike; and how long the steps of free streams take while a first constraint is prepared.
"""

import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from server.engine.config import EngineConfig
from server.engine.engine import Engine
from server.engine.grammar import GrammarCompiler
from server.engine.outputs import EngineStats, TokenOutput
from server.engine.params import Constraint, GenerationRequest, SamplingParams
from server.llama.context import Context
from server.llama.model import Model
from tests.bench.models import ensure_model

ROOT = Path(__file__).parents[2]
NUM_STREAMS = 8
NUM_TOKENS = 64
ROUNDS = 2
PERSON = {
    "type": "object",
    "properties": {
        "first_name": {"type": "string", "maxLength": 60},
        "occupation": {"enum": ["astronaut", "engineer", "gardener"]},
        "age": {"type": "integer", "maximum": 150},
    },
    "required": ["first_name", "occupation", "age"],
    "additionalProperties": False,
}
GRAMMARS = GrammarCompiler()
CASES: tuple[tuple[str, Constraint | None], ...] = (
    ("free", None),
    ("long strings", GRAMMARS.from_schema({"type": "string", "minLength": 2000})),
    ("records", GRAMMARS.from_schema({"type": "array", "items": PERSON, "minItems": 100})),
    ("letters", GRAMMARS.from_regex("[a-z ]{2000,3000}")),
)
SAMPLING: dict[str, dict[str, Any]] = {"default": {}, "greedy": {"temperature": 0.0}}


class Bench:
    """An engine over a model with a large vocabulary, run turn by turn."""

    def __init__(self, path: Path) -> None:
        self._model = Model(path)
        config = EngineConfig(
            model_path=str(path),
            context_size=2048,
            num_cells=16_384,
            batch_size=512,
            max_running=NUM_STREAMS,
            max_sequences=2 * NUM_STREAMS,
        )
        self._context = Context(
            self._model,
            num_cells=config.num_cells,
            batch_size=config.batch_size,
            max_sequences=config.max_sequences,
            num_threads=1,
        )
        self._num_tokens: dict[str, int] = {}
        self.engine = Engine(self._context, self._model.vocab, config, self._publish)
        self._count = 0

    def submit(self, constraint: Constraint | None, **sampling: Any) -> None:
        """One more stream."""
        self._count += 1
        params = SamplingParams(seed=self._count, max_tokens=NUM_TOKENS, ignore_eos=False, **sampling)
        prompt = tuple(range(self._count % 100 + 1, self._count % 100 + 33))
        self.engine.submit(
            GenerationRequest(id=str(self._count), token_ids=prompt, params=params, constraint=constraint)
        )

    def rate(self, constraint: Constraint | None, **sampling: Any) -> float:
        """Tokens a second of all streams together, prompts left out."""
        self._num_tokens.clear()
        for _ in range(NUM_STREAMS):
            self.submit(constraint, **sampling)
        while len(self._num_tokens) < NUM_STREAMS and not self.engine.is_idle:
            self.engine.turn()
        before = sum(self._num_tokens.values())
        started = time.thread_time()
        while not self.engine.is_idle:
            self.engine.turn()
        return (sum(self._num_tokens.values()) - before) / (time.thread_time() - started)

    def longest_step(self, constraint: Constraint | None) -> float:
        """Seconds of the longest step of free streams while one with this constraint comes in."""
        for _ in range(NUM_STREAMS - 1):
            self.submit(None)
        longest = 0.0
        for number in range(10_000):
            if self.engine.is_idle:
                break
            if number == 20:
                self.submit(constraint)
            started = time.thread_time()
            self.engine.turn()
            if number > 5:
                longest = max(longest, time.thread_time() - started)
        return longest

    def first_token(self, constraint: Constraint | None) -> float:
        """Seconds to the first token of a stream that is alone."""
        self._num_tokens.clear()
        self.submit(constraint)
        started = time.thread_time()
        while not self._num_tokens:
            self.engine.turn()
        seconds = time.thread_time() - started
        while not self.engine.is_idle:
            self.engine.turn()
        return seconds

    def _publish(self, outputs: list[TokenOutput], _stats: EngineStats) -> None:
        for output in outputs:
            self._num_tokens[output.request_id] = output.num_completion_tokens


def table(bench: Bench) -> Iterator[str]:
    """Lines of two Markdown tables."""
    first = CASES[2][1]
    longest = [bench.longest_step(constraint) * 1000 for constraint in (None, first, first)]
    yield "| longest step of free streams, ms | beside the first constraint | beside the same again |"
    yield "| --- | --- | --- |"
    yield f"| {longest[0]:.1f} | {longest[1]:.1f} | {longest[2]:.1f} |"
    yield ""
    yield "| sampling | constraint | tokens/s | of free | first token, ms |"
    yield "| --- | --- | --- | --- | --- |"
    for name, sampling in SAMPLING.items():
        rates: dict[str, list[float]] = {case: [] for case, _ in CASES}
        waits: dict[str, list[float]] = {case: [] for case, _ in CASES}
        for _ in range(ROUNDS):
            for case, constraint in CASES:
                rates[case].append(bench.rate(constraint, **sampling))
                waits[case].append(bench.first_token(constraint) * 1000)
        free = statistics.median(rates["free"])
        for case, _ in CASES:
            rate = statistics.median(rates[case])
            yield f"| {name} | {case} | {rate:.0f} | {rate / free:.2f} | {statistics.median(waits[case]):.1f} |"


if __name__ == "__main__":
    for line in table(Bench(ensure_model("nano", ROOT / "build" / "bench" / "models"))):
        print(line, flush=True)
