"""The pictures: each workload's speed beside llama-server's, and the raw speed where it is the limit."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.bench.measures import median_of, median_ratio
from tests.bench.report import Results
from tests.bench.servers import LLAMA_SERVER
from tests.bench.workloads import BY_NAME

_COLORS = ("#c0504d", "#9e9e9e", "#c9c9c9", "#5b7fa6")


def save_plot(results: Results, path: Path) -> None:
    """Write a bar chart. Raises ImportError where matplotlib is missing."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    names = [name for name in results.workloads if LLAMA_SERVER in results.workloads[name].runs]
    servers = list(dict.fromkeys(s for name in names for s in results.workloads[name].runs))
    figure, axes = pyplot.subplots(figsize=(9, 1.2 + 0.28 * len(names) * (len(servers) + 1)))
    height = 0.8 / max(1, len(servers))
    for place, server in enumerate(servers):
        ratios = [_ratio(results, name, server) for name in names]
        positions = [index + place * height for index in range(len(names))]
        bars = axes.barh(positions, ratios, height * 0.92, label=server, color=_COLORS[place % len(_COLORS)])
        axes.bar_label(bars, [f" {ratio:.2f}" if ratio else "" for ratio in ratios], fontsize=7)
    for index, name in enumerate(names):
        if (raw := _raw_ratio(results, name)) is not None:
            axes.plot(
                [raw, raw], [index - height / 2, index + 0.8 - height / 2], color="black", linewidth=1.5
            )
    axes.set_yticks([index + 0.4 - height / 2 for index in range(len(names))])
    axes.set_yticklabels([BY_NAME[name].title for name in names], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel(f"tokens per second, {LLAMA_SERVER} = 1; black: raw llama_decode")
    axes.axvline(1, color="black", linewidth=0.6, linestyle=":")
    axes.legend(fontsize=8, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def curves(
    lines: Mapping[str, Sequence[tuple[float, float]]], path: Path, abscissa: str, ordinate: str
) -> None:
    """Draw a line of points for each name, beside the diagonal. Raises ImportError without matplotlib."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    for color, (name, points) in zip(itertools.cycle(_COLORS), lines.items(), strict=False):
        axes.plot(*zip(*points, strict=True), marker="o", label=name, color=color)
    most = max(place for points in lines.values() for place, _ in points)
    axes.plot([0, most], [0, most], color="black", linewidth=0.6, linestyle=":")
    axes.set_xlabel(abscissa)
    axes.set_ylabel(ordinate, fontsize=8)
    axes.legend(fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def _ratio(results: Results, name: str, server: str) -> float:
    runs = results.workloads[name].runs
    if server == LLAMA_SERVER:
        return 1.0
    return median_ratio(runs.get(server, []), runs[LLAMA_SERVER], "tokens_per_second") or 0.0


def _raw_ratio(results: Results, name: str) -> float | None:
    found = results.workloads[name]
    peer = median_of(found.runs[LLAMA_SERVER], "tokens_per_second")
    return max(found.raw_decode) / peer if found.raw_decode and peer else None
