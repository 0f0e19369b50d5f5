"""What constraints cost streams: `python -m tests.bench.masks` prints a table.

Eight streams of one engine in this process, with and without a constraint, by turns. Seconds are processor
seconds of the engine's thread, which decodes on this one thread alone: a busy machine does not change them,
and what other threads do beside it is left out.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from caravan.config.engine_config import EngineConfig
from caravan.engine.engine import Engine
from caravan.engine.outputs import EngineStats, TokenOutput
from caravan.engine.params import GenerationRequest, SamplingParams
from caravan.grammars.compiler import GrammarCompiler
from caravan.grammars.constraint import Constraint
from caravan.llama.context import Context
from caravan.llama.model import Model

from tests.bench.models import ensure_model
from tests.fakes import no_embedder

ROOT = Path(__file__).parents[2]
NUM_STREAMS = 8
NUM_TOKENS = 128
ROUNDS = 3
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
TEMPERATURES = {"default": 0.8, "greedy": 0.0}


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
        self.engine = Engine(self._context, self._model.vocab, config, self._publish, no_embedder())
        self._count = 0

    def submit(self, constraint: Constraint | None, temperature: float = 0.8) -> None:
        """One more stream."""
        self._count += 1
        params = SamplingParams(seed=self._count, max_tokens=NUM_TOKENS, temperature=temperature)
        prompt = tuple(range(self._count % 100 + 1, self._count % 100 + 33))
        self.engine.submit(
            GenerationRequest(id=str(self._count), token_ids=prompt, params=params, constraint=constraint)
        )

    def rate(self, constraint: Constraint | None, temperature: float = 0.8) -> float:
        """Tokens a second of all streams together, prompts left out."""
        self._num_tokens.clear()
        for _ in range(NUM_STREAMS):
            self.submit(constraint, temperature)
        while len(self._num_tokens) < NUM_STREAMS and not self.engine.is_idle:
            self.engine.turn()
        before = sum(self._num_tokens.values())
        started = time.thread_time()
        while not self.engine.is_idle:
            self.engine.turn()
        return (sum(self._num_tokens.values()) - before) / (time.thread_time() - started)

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

    def _publish(self, outputs: list[TokenOutput], _stats: Callable[[], EngineStats]) -> None:
        for output in outputs:
            self._num_tokens[output.request_id] = output.num_completion_tokens


def table(bench: Bench) -> Iterator[str]:
    """Lines of a Markdown table."""
    yield "| sampling | constraint | tokens/s | of free | first token, ms |"
    yield "| --- | --- | --- | --- | --- |"
    for name, temperature in TEMPERATURES.items():
        rates: dict[str, list[float]] = {case: [] for case, _ in CASES}
        waits: dict[str, list[float]] = {case: [] for case, _ in CASES}
        for _ in range(ROUNDS):
            for case, constraint in CASES:
                rates[case].append(bench.rate(constraint, temperature))
                waits[case].append(bench.first_token(constraint) * 1000)
        free = statistics.median(rates["free"])
        for case, _ in CASES:
            rate, wait = statistics.median(rates[case]), statistics.median(waits[case])
            yield f"| {name} | {case} | {rate:.0f} | {rate / free:.2f} | {wait:.1f} |"


if __name__ == "__main__":
    for line in table(Bench(ensure_model("nano", ROOT / "build" / "bench" / "models"))):
        print(line, flush=True)
