"""What drafts spare: `python -m tests.bench.drafts MODEL.gguf` prints a table.

One engine in this process answers each request with drafts and without, by turns. Seconds are processor
seconds of its thread after the prompt, which decodes on this one thread alone: a busy machine does not change
them much. What a model would write is dictated where it says so: the logit of the next token of a given text
is raised in each row. So weights may be random: all else is computed, drawn and drafted as ever. Free prose
is the model's own, and only a trained model's is prose.
"""

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from caravan.config.engine_config import EngineConfig
from caravan.engine.drafts.draft_model import DraftModel
from caravan.engine.engine import Engine
from caravan.engine.outputs import EngineStats, TokenOutput
from caravan.engine.params import GenerationRequest, SamplingParams
from caravan.grammars.compiler import GrammarCompiler
from caravan.grammars.constraint import Constraint
from caravan.llama.batch import Batch
from caravan.llama.context import Context, DecodeStatus
from caravan.llama.model import Model
from numpy.typing import NDArray

from tests.bench import vocabulary
from tests.bench.models import ensure_model
from tests.fakes import no_embedder

ROOT = Path(__file__).parents[2]
_WHOLE = (ROOT / "server/caravan/engine/scheduler.py").read_text(encoding="utf-8")
# From its constants on, three of which are rewritten otherwise: short runs reach all of them.
FILE = _WHOLE[_WHOLE.index("_MIN_AWAITED_PREFIX") :][:2000]
CHANGES = (
    ("_MIN_AWAITED_PREFIX = 16", "_MIN_AWAITED_PREFIX = 24"),
    ("_GROWTH_RESERVE = 8", "_GROWTH_RESERVE = 2 * _MIN_AWAITED_PREFIX"),
    ("_MAX_OVERTAKING = 16", "_MAX_BEFORE = 16"),
)
JOBS = ("astronaut", "engineer", "gardener", "librarian")
TOWNS = ("Ghent", "Lyon", "Porto", "Turin", "Uppsala")
RECORD = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 40},
        "occupation": {"type": "string", "maxLength": 40},
        "address": {"type": "string", "maxLength": 60},
        "age": {"type": "integer"},
    },
    "required": ["name", "occupation", "address", "age"],
    "additionalProperties": False,
}
RECORDS = GrammarCompiler().from_schema({"type": "array", "items": RECORD, "minItems": 200})
_PAGE = (ROOT / "docs/faults.md").read_text(encoding="utf-8")
SENTENCES = [line for line in _PAGE.splitlines() if line[:1].isalpha()]
# What a dictated token's logit is raised by: more than any model's logits are apart.
_RAISED = 1000.0
_ROUNDS = 2
# Of so many tokens, the draft model is made to guess one wrong.
_WRONG_OF = 5


class Case(NamedTuple):
    """A kind of request. `answer` is dictated, or the model's own if it is None."""

    name: str
    prompt: str
    answer: str | None = None
    prediction: str = ""
    constraint: Constraint | None = None
    temperature: float = 0.0
    num_streams: int = 1


def cases() -> Iterator[Case]:
    """The rows of the table."""
    changed = FILE
    for old, new in CHANGES:
        assert old in changed
        changed = changed.replace(old, new)
    ask = "Rewrite this file with larger limits.\n\n"
    yield Case("a file rewritten, with `prediction`", ask, changed, FILE)
    yield Case("a file rewritten that the prompt has", f"{ask}{FILE}\n\n", changed)
    yield Case("JSON records by a schema", "People as JSON records.\n\n", _records(), constraint=RECORDS)
    yield Case("an answer that quotes its prompt", _questions(), _answers())
    prose = "Once upon a time there was a lighthouse keeper who"
    yield Case("free prose, temperature 1", prose, temperature=1.0)
    yield Case("free prose, temperature 1, 8 clients", prose, temperature=1.0, num_streams=8)


def _records() -> str:
    """Records in which little repeats but names of jobs and towns; keys are forced by the schema."""
    people = (
        {
            "name": f"{chr(65 + n % 26)}{chr(97 + n * 7 % 26)}lin {chr(65 + n * 5 % 26)}orst",
            "occupation": JOBS[n * n % 4],
            "address": f"{n * 37 % 90 + 1} Station Road, {TOWNS[n * 3 % 5]}",
            "age": n % 60,
        }
        for n in range(20, 220)
    )
    return json.dumps(list(people))


def _questions() -> str:
    return "\n".join(SENTENCES[:20]) + "\n\nWhat of this is about processes?\n\n"


def _answers() -> str:
    """Quotations of the prompt, each with words of one's own before it."""
    said = ("The page says:", "Further on it adds:", "What is also of use here:", "Then there is this:")
    quoted = SENTENCES[3:20:3]
    return "\n".join(f'{said[n % 4]} "{line}" (point {n + 1}).' for n, line in enumerate(quoted))


class DictatedContext(Context):
    """A context whose rows lean towards a text, by position."""

    text: list[int] | None = None
    _positions: NDArray[np.int32] = np.empty(0, np.int32)

    def decode(self, batch: Batch, unless: Callable[[], bool] | None = None) -> DecodeStatus:
        marked = batch.wants_logits[: batch.num_tokens].astype(bool)
        self._positions = batch.positions[: batch.num_tokens][marked].copy()
        return super().decode(batch, unless)

    def logits(self) -> NDArray[np.float32]:
        rows = super().logits()
        for row, position in zip(rows, self._positions, strict=True):
            if self.text is not None and position + 1 < len(self.text):
                row[self.text[position + 1]] += _RAISED
        return rows


class Bench:
    """An engine over a model, run turn by turn; a draft model is dictated the same, but for some tokens."""

    def __init__(self, path: Path, num_tokens: int, draft: Path | None = None) -> None:
        self._model = Model(path)
        self._num_tokens = num_tokens
        config = EngineConfig(
            model_path=str(path),
            context_size=8192,
            num_cells=16_384,
            batch_size=512,
            max_running=16,
            max_sequences=32,
            max_drafted=16,
        )
        self._context = _context(self._model, config)
        self._guessing = None if draft is None else _context(Model(draft), config)
        self._counts: dict[str, int] = {}
        self._tokens: dict[str, list[int]] = {}
        vocab = self._model.vocab
        guesses = None
        if self._guessing is not None:
            end_ids = vocab.end_of_generation_ids
            guesses = DraftModel(self._guessing, config.batch_size, end_ids, config.step_seconds)
        self.engine = Engine(self._context, vocab, config, self._publish, no_embedder(), draft_model=guesses)
        self.engine._drafter.now = time.thread_time
        self._number = 0

    def rates(self, case: Case) -> tuple[float, float]:
        """Tokens a second without drafts, and with them; the texts are the same."""
        self._number += 1
        found = [self._run(case, f"{self._number} {most}", most) for most in (0, None)]
        (plain, texts), (drafted, others) = found
        if texts != others:
            raise AssertionError(f"{case.name}: drafts have changed a text")
        return plain, drafted

    def _run(self, case: Case, name: str, max_drafted: int | None) -> tuple[float, list[list[int]]]:
        vocab = self._model.vocab
        prompt = vocab.tokenize(case.prompt, add_special=True, parse_special=False)
        answer = vocab.tokenize(case.answer or "", add_special=False, parse_special=False)
        predicted = vocab.tokenize(case.prediction, add_special=False, parse_special=False)
        self._context.text = None if case.answer is None else [*prompt, *answer]
        if self._guessing is not None:
            self._guessing.text = [*prompt, *_often_right(answer)]
        most = self._num_tokens if case.answer is None else min(self._num_tokens, len(answer))
        names = [f"{name} {index}" for index in range(case.num_streams)]
        for index, stream in enumerate(names):
            params = SamplingParams(
                temperature=case.temperature, seed=index, max_tokens=most, ignore_eos=case.constraint is None
            )
            self.engine.submit(
                GenerationRequest(
                    id=stream,
                    token_ids=tuple(prompt),
                    params=params,
                    # Else the second run would be drafted from the answers of the first.
                    cache_salt=name,
                    constraint=case.constraint,
                    tells_token_ids=True,
                    max_drafted=max_drafted,
                    predicted_token_ids=tuple(predicted),
                )
            )
        while not all(self._counts.get(stream) for stream in names):
            self.engine.turn()
        before, started = self._drawn(names), time.thread_time()
        while not self.engine.is_idle:
            self.engine.turn()
        seconds = time.thread_time() - started
        return (self._drawn(names) - before) / seconds, [self._tokens[stream] for stream in names]

    def _drawn(self, names: list[str]) -> int:
        return sum(self._counts[name] for name in names)

    def _publish(self, outputs: list[TokenOutput], _stats: Callable[[], EngineStats]) -> None:
        for output in outputs:
            self._counts[output.request_id] = output.num_completion_tokens
            self._tokens.setdefault(output.request_id, []).extend(output.token_ids)


def _context(model: Model, config: EngineConfig) -> DictatedContext:
    return DictatedContext(
        model,
        num_cells=config.num_cells,
        batch_size=config.batch_size,
        max_sequences=config.max_sequences,
        num_threads=1,
        num_spare_rows=config.num_spare_rows,
    )


def _often_right(token_ids: list[int]) -> list[int]:
    """The same, but for one in some."""
    return [id_ + 1 if place % _WRONG_OF == 0 else id_ for place, id_ in enumerate(token_ids)]


def table(bench: Bench, cases: Sequence[Case], rounds: int, wanted: str) -> Iterator[str]:
    """Lines of a Markdown table."""
    yield "| request | tokens/s without | with drafts | ratio | tokens drafted, drawn |"
    yield "| --- | --- | --- | --- | --- |"
    for case in (case for case in cases if wanted in case.name):
        before = bench.engine.stats()
        rates = [bench.rates(case) for _ in range(rounds)]
        after = bench.engine.stats()
        plain, drafted = (statistics.median(column) for column in zip(*rates, strict=True))
        ratio = statistics.median(on / off for off, on in rates)
        counts = [
            sum(now.values()) - sum(then.values())
            for now, then in (
                (after.num_drafted, before.num_drafted),
                (after.num_accepted, before.num_accepted),
            )
        ]
        kind = "" if case.answer is None else " (dictated)"
        yield f"| {case.name}{kind} | {plain:.1f} | {drafted:.1f} | {ratio:.2f} | {counts[0]}, {counts[1]} |"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.drafts", description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--draft-model", type=Path, help="of the same vocabulary; else two shapes are a pair")
    parser.add_argument("--tokens", type=int, default=160, help="most tokens of an answer")
    parser.add_argument("--rounds", type=int, default=_ROUNDS)
    parser.add_argument("--only", default="", help="a part of the names of requests")
    options = parser.parse_args()
    bench = Bench(options.model, options.tokens)
    for line in table(bench, list(cases()), options.rounds, options.only):
        print(line, flush=True)
    model, draft = options.model, options.draft_model
    if draft is None:
        model, draft = (ensure_model(name, ROOT / "build" / "bench" / "models") for name in ("135m", "15m"))
    pair = Bench(model, options.tokens, draft)
    name = f"{draft.stem} guesses for {model.stem}, right {_WRONG_OF - 1} times in {_WRONG_OF}"
    guessed = Case(name, "Words.\n\n", vocabulary.words(options.tokens, random.Random(0)))
    for line in list(table(pair, [guessed], options.rounds, options.only))[2:]:
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
