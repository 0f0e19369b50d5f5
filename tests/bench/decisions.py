"""Decisions beside asking for the same as JSON: `python -m tests.bench.decisions` prints a table.

Each round has an input of its own, so nothing is in a cache but what the questions share. Times are medians.
"""

import argparse
import json
import os
import random
import statistics
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.models import SHAPES, ensure_model
from tests.bench.servers import free_port, started

ROOT = Path(__file__).parents[2]
INPUT_WORDS = 400
ROUNDS = 3
CONTEXT = 4096
_LETTERS = "abcdef"


@dataclass(frozen=True)
class Case:
    """So many questions of so many labels each; with two labels they are predicates."""

    num_questions: int
    num_labels: int

    def labels(self) -> list[str]:
        """What each question may be answered with."""
        return ["Yes", "No"] if self.num_labels == 2 else [f"label {n}" for n in range(self.num_labels)]

    def questions(self) -> list[dict[str, Any]]:
        """The questions of a decision."""
        texts = [f"What is said about {n} is right." for n in range(self.num_questions)]
        if self.num_labels == 2:
            return [{"type": "predicate", "instructions": text} for text in texts]
        choices = [{"value": label} for label in self.labels()]
        return [{"type": "choice", "instructions": text, "choices": choices} for text in texts]

    def chat(self, given: str) -> dict[str, Any]:
        """The same as one chat that is answered with JSON, in as few characters as there can be."""
        names = [f"q{n}" for n in range(self.num_questions)]
        asked = [f"{name}: {q['instructions']}" for name, q in zip(names, self.questions(), strict=True)]
        labels = f"Answer each with one of: {', '.join(self.labels())}."
        pairs = [f'"{name}":"({"|".join(self.labels())})"' for name in names]
        return {
            "messages": [{"role": "user", "content": "\n\n".join([given, *asked, labels])}],
            "structured_outputs": {"regex": r"\{" + ",".join(pairs) + r"\}"},
            "temperature": 0,
        }


CASES = (Case(1, 2), Case(8, 2), Case(20, 2), Case(1, 10), Case(8, 10), Case(1, 100))


def main() -> int:
    options = _parser().parse_args()
    folder: Path = options.folder
    model = options.model or ensure_model(options.shape, folder)
    port = free_port()
    command = [sys.executable, "-m", "caravan", "serve", "--model", str(model), "--port", str(port)]
    command += ["--context-size", str(CONTEXT), "--threads", str(options.threads)]
    with started(command, dict(os.environ), port, "/ready", folder / "decisions.log"):
        rounds = random.Random(1)
        _ask(
            port,
            "/v1/decisions",
            {"input": _words(rounds, options.words), "questions": Case(1, 2).questions()},
        )
        print("| questions | labels of each | decisions, s | JSON, s | tokens written for JSON |")
        print("| --- | --- | --- | --- | --- |")
        for case in CASES:
            print(_row(port, case, rounds, options.words), flush=True)
    return 0


def _row(port: int, case: Case, rounds: random.Random, num_words: int) -> str:
    """Measure both, turn by turn."""
    ours, others, written = [], [], 0
    for _ in range(ROUNDS):
        given = _words(rounds, num_words)
        ours.append(_ask(port, "/v1/decisions", {"input": given, "questions": case.questions()})[0])
        seconds, answer = _ask(port, "/v1/chat/completions", case.chat(_words(rounds, num_words)))
        others.append(seconds)
        written = answer["usage"]["completion_tokens"]
    mine, json_seconds = statistics.median(ours), statistics.median(others)
    return f"| {case.num_questions} | {case.num_labels} | {mine:.2f} | {json_seconds:.2f} | {written} |"


def _ask(port: int, path: str, body: dict[str, Any]) -> tuple[float, Any]:
    """How long an answer takes, and the answer."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    began = time.perf_counter()
    with urllib.request.urlopen(request, timeout=600) as answer:
        content = answer.read()
    return time.perf_counter() - began, json.loads(content)


def _words(rounds: random.Random, num_words: int) -> str:
    """A text in which each word is a token of the random models."""
    return "".join(f" abc{rounds.choice(_LETTERS)}" for _ in range(num_words)) + f" {rounds.random()}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.decisions", description=__doc__)
    parser.add_argument("--model", type=Path, help="a GGUF; by default one of random weights")
    parser.add_argument("--shape", choices=list(SHAPES), default="135m", help="default 135m")
    parser.add_argument("--words", type=int, default=INPUT_WORDS, help=f"of the input; default {INPUT_WORDS}")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bench", help="models and the log")
    return parser


if __name__ == "__main__":
    sys.exit(main())
