"""`python -m tests.bench`: our server and its peers on the same work, one table."""

import argparse
import datetime
import os
import sys
from pathlib import Path

from deploy.build.toolchain import BuildError
from tests.bench import machine, report, workloads
from tests.bench.builds import ensure_peers
from tests.bench.model_rows import MODEL_ROWS
from tests.bench.plot import save_plot
from tests.bench.report import Results, WorkloadResults
from tests.bench.runner import Bench
from tests.bench.scripts import Scale
from tests.bench.servers import KINDS, LLAMA_SERVER, OURS, STOCK

ROOT = Path(__file__).parents[2]
_SERVERS = (OURS, LLAMA_SERVER)
_QUICK_FACTOR = 0.35
_REPEATS = 3


def main() -> int:
    options = _parser().parse_args()
    named = [workloads.BY_NAME[name] for name in options.workloads or ()]
    chosen = named or list(MODEL_ROWS if options.models else workloads.ALL)
    if options.quick and not options.workloads and not options.models:
        chosen = [workload for workload in chosen if workload.is_quick]
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    try:
        peers = ensure_peers(folder, with_stock=STOCK in (options.servers or ()))
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    bench = Bench(
        peers=peers,
        folder=folder,
        servers=options.servers or _SERVERS,
        threads=options.threads,
        scale=Scale(_QUICK_FACTOR if options.quick else 1.0),
        attempts=options.attempts,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    results = Results(
        machine=machine.describe(),
        build=peers.description,
        mode="quick" if options.quick else "full",
        started=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        num_repeats=options.repeats or (1 if options.quick else _REPEATS),
        num_threads=options.threads,
        workloads={workload.name: WorkloadResults() for workload in chosen},
    )
    bench.say(f"{results.machine}")
    target = options.results / f"{results.started[:16].replace(' ', '-').replace(':', '')}-{results.mode}"
    for number in range(results.num_repeats):
        for workload in chosen:
            bench.repeat(workload, number, results.workloads[workload.name])
            report.save(results, target)
    _plot(results, target)
    print(report.markdown(results))
    bench.say(f"written to {target}")
    return 0


def _plot(results: Results, folder: Path) -> None:
    try:
        save_plot(results, folder / "results.png")
    except ImportError:
        print("no picture without matplotlib: pip install 'llama-caravan[bench]'", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--quick", action="store_true", help="one short repeat of most workloads")
    mode.add_argument("--full", action="store_true", help="all but those of --models (default)")
    parser.add_argument("--models", action="store_true", help="real models and larger shapes instead")
    parser.add_argument(
        "--workloads",
        nargs="+",
        choices=list(workloads.BY_NAME),
        metavar="NAME",
        help=", ".join(workloads.BY_NAME),
    )
    parser.add_argument("--servers", nargs="+", choices=list(KINDS), metavar="NAME", help=", ".join(KINDS))
    parser.add_argument("--repeats", type=int, help=f"default {_REPEATS}, quick 1")
    parser.add_argument("--attempts", type=int, default=3, help="for a run that other processes disturb")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of every server")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bench", help="builds and models")
    parser.add_argument("--results", type=Path, default=ROOT / "build" / "bench" / "results")
    return parser


if __name__ == "__main__":
    sys.exit(main())
