"""Drafts beside those of llama-server, as clients see them: `python -m tests.bench.drafts_served`.

Each server runs with drafts and without. Of llama-server's n-grams, the kind that copies a file fastest is
taken. Answers are the model's own, one token after the other where nothing repeats; they are asked for by
turns, no prompt twice, and timed from the first token on.
"""

import argparse
import contextlib
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec

from deploy.build.toolchain import BuildError
from tests.bench.builds import Peers, ensure_peers
from tests.bench.drafts import FILE, RECORD, SENTENCES
from tests.bench.models import NoModelError, ensure_model
from tests.bench.plan import Body, Outcome, Plan, Script
from tests.bench.report import number, table
from tests.bench.scripts import chat_body
from tests.bench.servers import KINDS, LLAMA_SERVER, OURS, Kind, Server, Sizes, running
from tests.bench.workload import CHAT

ROOT = Path(__file__).parents[2]
NGRAMS = ("ngram-simple", "ngram-map-k", "ngram-map-k4v", "ngram-mod", "ngram-cache")
_TOKENS = 160
_ROUNDS = 3
_SCHEMA = {"type": "array", "items": RECORD, "minItems": 50}
_AS_RECORDS: Body = {
    "response_format": {"type": "json_schema", "json_schema": {"name": "people", "schema": _SCHEMA}}
}
_ENDLESS: Body = {"temperature": 0, "ignore_eos": True}


class Case(NamedTuple):
    """What clients ask: the text of a chat, and fields beside it."""

    name: str
    text: str
    fields: Body
    num_clients: int = 1


def cases() -> list[Case]:
    """The rows; the first is the one by which n-grams are chosen."""
    copy = f"Write this file again, word for word:\n\n```python\n{FILE}\n```"
    quote = "Repeat these sentences, word for word:\n\n" + "\n".join(SENTENCES[:12])
    prose = "Tell a story of a lighthouse keeper."
    warm = {"temperature": 1.0, "ignore_eos": True}
    return [
        Case("a file written again", copy, _ENDLESS),
        Case("the same, with `prediction`", copy, _ENDLESS | {"prediction": _prediction()}),
        Case("JSON records by a schema", "Write people as JSON records.", {"temperature": 0} | _AS_RECORDS),
        Case("sentences of the prompt repeated", quote, _ENDLESS),
        Case("free prose, temperature 1", prose, warm),
        Case("free prose, temperature 1, 8 clients", prose, warm, 8),
    ]


def _prediction() -> Body:
    return {"type": "content", "content": FILE}


def rate(server: Server, case: Case, number_of_round: int, num_tokens: int) -> float:
    """Tokens a second of all clients together, from the first token on."""
    generator = random.Random(f"{case.name}/{number_of_round}")
    scripts = []
    for client in range(case.num_clients):
        # No two prompts begin alike, so nobody has an answer of before to go by.
        text = f"Note {generator.randrange(10**6)}.\n\n{case.text}"
        scripts.append(
            Script(
                bodies=[chat_body(text, num_tokens, case.fields | {"seed": client + 100 * number_of_round})]
            )
        )
    plan = Plan(port=server.port, path=CHAT, scripts=scripts)
    command = [sys.executable, "-m", "tests.bench.client"]
    done = subprocess.run(command, input=msgspec.json.encode(plan), stdout=subprocess.PIPE, check=True)
    exchanges = msgspec.json.decode(done.stdout, type=Outcome).exchanges
    if errors := [exchange.error for exchange in exchanges if exchange.error]:
        raise RuntimeError(f"{server.name}: {errors[0]}")
    began = min(exchange.times[0] for exchange in exchanges)
    num_drawn = sum(exchange.num_completion_tokens - 1 for exchange in exchanges)
    return num_drawn / (max(exchange.ended for exchange in exchanges) - began)


def kind(name: str, *options: str) -> Kind:
    """A server with options of its own."""
    usual = KINDS[name]

    def command(peers: Peers, sizes: Sizes, port: int, folder: Path) -> list[str]:
        return [*usual.command(peers, sizes, port, folder), *options]

    label = "-".join([name, *options]).replace("--", "")
    return replace(usual, name=label, command=command)


def rows(
    servers: Sequence[Server], rounds: int, num_tokens: int, measure: Callable[..., float] = rate
) -> Iterator[list[str]]:
    """A row for each case: rates of ours without and with drafts, of theirs, and their ratios by rounds."""
    for case in cases():
        found = [
            [measure(server, case, turn, num_tokens) for server in servers] for turn in range(1, rounds + 1)
        ]
        ratios = [(ours / off, theirs / other, ours / theirs) for off, ours, other, theirs in found]
        columns = [*zip(*found, strict=True), *zip(*ratios, strict=True)]
        yield [case.name, *(number(statistics.median(column)) for column in columns)]


def _best(peers: Peers, sizes: Sizes, options: argparse.Namespace) -> tuple[str, dict[str, float]]:
    """llama-server's kind of n-grams that copies fastest, and what each does."""
    found = {}
    for name in NGRAMS:
        with running(kind(LLAMA_SERVER, "--spec-type", name), peers, sizes, options.folder) as server:
            found[name] = rate(server, cases()[0], 0, options.tokens)
    return max(found, key=lambda name: found[name]), found


def main() -> int:
    """Print a table, and write it."""
    options = _options()
    results = options.folder / "results"
    results.mkdir(parents=True, exist_ok=True)
    try:
        model = ensure_model(options.model, options.folder / "models")
        peers = ensure_peers(options.folder)
    except (BuildError, NoModelError) as error:
        print(error, file=sys.stderr)
        return 1
    sizes = Sizes(model=model, context=2048, parallel=8, threads=options.threads)
    best, speeds = _best(peers, sizes, options)
    kinds = (
        kind(OURS, "--speculative", "0"),
        kind(OURS),
        kind(LLAMA_SERVER),
        kind(LLAMA_SERVER, "--spec-type", best),
    )
    heads = ("answer", "ours", "with drafts", "llama-server", best, "ratio", "its ratio", "ours / its")
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(running(one, peers, sizes, options.folder)) for one in kinds]
        found = table(heads, list(rows(servers, options.rounds, options.tokens)))
    tried = ", ".join(f"{name} {number(speed)}" for name, speed in speeds.items())
    text = f"{model.name}, tokens/s. Copying by kinds of n-grams: {tried}.\n\n{found}\n"
    (results / "drafts-served.md").write_text(text)
    print(text)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.drafts_served", description=__doc__)
    parser.add_argument("--model", default="smollm2", help="a name of tests/bench/models.py")
    parser.add_argument("--tokens", type=int, default=_TOKENS, help="of an answer")
    parser.add_argument("--rounds", type=int, default=_ROUNDS)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of every server")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bench", help="builds and models")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
