"""Results as a value, and that value as JSON and as Markdown."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from tests.bench.measures import Measures, median_of, median_ratio
from tests.bench.servers import LLAMA_SERVER, OURS, STOCK
from tests.bench.targets import How, Target, Verdict, judge
from tests.bench.workloads import BY_NAME

_HEADS = (
    "workload",
    "server",
    "tokens/s",
    f"of {LLAMA_SERVER}'s",
    "of stock's",
    "TTFT p50",
    "p95",
    "gap p50",
    "p95",
    "max",
    "memory",
    "ready",
    "first answer",
    "cached",
    "errors",
)
_MEASURES_IN_WORDS = {
    "tokens_per_second": "tokens/s",
    "ttft_p50": "TTFT p50",
    "ttft_p95": "TTFT p95",
    "gap_max": "longest gap",
    "num_errors": "errors",
    "slowest_to_median": "slowest answer / median answer",
    "resident_bytes": "memory",
    "seconds_to_ready": "seconds to ready",
}
_COMPARED = {
    How.RATIO: " / peer's",
    How.DIFFERENCE: " − peer's",
    How.TO_RAW: " / raw",
    How.TO_PLAIN: " / unconstrained",
    How.OVER_PLAIN: " − unconstrained",
}


class WorkloadResults(msgspec.Struct, kw_only=True):
    """All runs of one workload by server, in the order of the repeats, and the raw speeds of each repeat."""

    runs: dict[str, list[Measures]] = {}
    raw_decode: list[float] = []
    raw_prefill: list[float] = []
    notes: list[str] = []


class Results(msgspec.Struct, kw_only=True):
    """Everything that one benchmark found, and on what."""

    machine: str
    build: str
    mode: str
    started: str
    num_repeats: int
    num_threads: int
    workloads: dict[str, WorkloadResults] = {}


def save(results: Results, folder: Path) -> None:
    """Write `results.json` and `results.md`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1))
    (folder / "results.md").write_text(markdown(results))


def markdown(results: Results) -> str:
    """The tables: every workload and server, then what was aimed at."""
    about = [
        f"{results.machine}; {results.build}; {results.num_threads} threads.",
        f"{results.mode} mode, {results.started}: medians of {results.num_repeats} repeats, servers in turn.",
        "Times in seconds; memory (PSS of all processes of a server) in MB; ratios are medians of the pairs.",
    ]
    rows = [row for name in results.workloads for row in _rows(name, results.workloads[name])]
    notes = [
        f"{BY_NAME[name].title}: {note}"
        for name, found in results.workloads.items()
        for note in dict.fromkeys(found.notes)
    ]
    targets = [
        [BY_NAME[name].title, *_target_cells(verdict)]
        for name in results.workloads
        for verdict in verdicts(name, results.workloads)
    ]
    parts = [
        "\n".join(about),
        table(_HEADS, rows),
        "\n".join(f"- {note}" for note in notes),
        table(("workload", "measure", "target", "reached", ""), targets),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def verdicts(name: str, workloads: Mapping[str, WorkloadResults]) -> list[Verdict]:
    """The targets of a workload, judged."""
    found = workloads[name]
    raw = max(found.raw_decode, default=None)
    plain = workloads.get(BY_NAME[name].variant_of or "", WorkloadResults()).runs.get(OURS, [])
    return [judge(target, found.runs, OURS, LLAMA_SERVER, raw, plain) for target in BY_NAME[name].targets]


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; nothing without rows."""
    if not rows:
        return ""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def number(value: float | None, digits: int = 3) -> str:
    """At least `digits` significant digits, whole numbers in full; a dash for nothing."""
    if value is None:
        return "–"
    size = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    return f"{value:,.{max(0, digits - size)}f}"


def _rows(name: str, found: WorkloadResults) -> list[list[str]]:
    rows: list[list[str]] = []
    for server, runs in found.runs.items():
        others = [found.runs.get(name, []) if name != server else [] for name in (LLAMA_SERVER, STOCK)]
        memory = median_of(runs, "resident_bytes")
        rows.append(
            [
                BY_NAME[name].title if not rows else "",
                server,
                number(median_of(runs, "tokens_per_second")),
                *(number(median_ratio(runs, other, "tokens_per_second")) for other in others),
                *(
                    number(median_of(runs, m))
                    for m in ("ttft_p50", "ttft_p95", "gap_p50", "gap_p95", "gap_max")
                ),
                number(memory / 1e6 if memory is not None else None),
                number(median_of(runs, "seconds_to_ready")),
                number(median_of(runs, "first_answer_seconds")),
                number(median_of(runs, "cached_share"), 2),
                str(sum(run.num_errors for run in runs)),
            ]
        )
    if found.raw_decode:
        rows.append(_raw_row("raw `llama_decode`", found.raw_decode))
    if found.raw_prefill:
        rows.append(_raw_row("raw prefill", found.raw_prefill))
    return rows


def _raw_row(what: str, speeds: Sequence[float]) -> list[str]:
    return ["", what, number(max(speeds)), *[""] * (len(_HEADS) - 3)]


def _target_cells(verdict: Verdict) -> list[str]:
    target = verdict.target
    sign = "≥" if target.at_least else "≤"
    what = _MEASURES_IN_WORDS[target.measure]
    if target.how is not How.VALUE:
        what += _COMPARED[target.how]
    mark = {True: "yes", False: "no", None: "not measured"}[verdict.holds]
    return [what, f"{sign} {_amount(target, target.limit)}", _amount(target, verdict.reached), mark]


def _amount(target: Target, value: float | None) -> str:
    if target.measure == "resident_bytes":
        return f"{number(value / 1e6 if value is not None else None)} MB"
    return number(value)
