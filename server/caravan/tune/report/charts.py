"""Four charts of a search, each a PNG: its history, what mattered, each parameter by itself, the front."""

import io
import math
from collections import Counter
from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from caravan.tune.records import Findings, Record, sign_of
from caravan.tune.space import choice_text

_BLUE, _ORANGE, _GREY, _GREEN = "#2463a8", "#d9730d", "#8a8f98", "#2e7d4f"
_WIDTH, _HEIGHT, _DPI = 4.6, 3.2, 130
_MOST_COLUMNS = 3
# How far from its place on an axis of choices a trial may stand: those of one choice would hide each other.
_SPREAD = 0.3

Draw = Callable[[Findings], Figure | None]


def charts(findings: Findings) -> dict[str, bytes | None]:
    """The files' names and contents; None where there is nothing to draw."""
    drawers: dict[str, Draw] = {
        "history.png": _history,
        "slices.png": _slices,
        "importance.png": _importance,
        "pareto.png": _pareto,
    }
    return {name: _png(draw(findings)) if findings.complete else None for name, draw in drawers.items()}


def _png(figure: Figure | None) -> bytes | None:
    if figure is None:
        return None
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=_DPI)
    return image.getvalue()


def _axes(
    count: int, width: float = _WIDTH, height: float = _HEIGHT, columns: int = _MOST_COLUMNS
) -> tuple[Figure, list[Axes]]:
    columns = min(count, columns, _MOST_COLUMNS)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.grid(axis="y", color="#e4e6ea", linewidth=0.8)
        one.set_axisbelow(True)
    for one in axes[count:]:
        one.set_visible(False)
    return figure, axes[:count]


def _legend(figure: Figure, one: Axes) -> None:
    """Above all charts, where it hides nothing."""
    handles, labels = one.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=len(labels), frameon=False, fontsize=8)


def _history(findings: Findings) -> Figure:
    """Every trial with its noise, and the best so far."""
    figure, axes = _axes(len(findings.task.objectives), width=6.0)
    for index, one in enumerate(axes):
        _points(one, findings, index, [float(record.number) for record in findings.complete])
        sign = sign_of(findings.task, index)
        best: list[float] = []
        for record in findings.complete:
            value = record.values[index]
            best.append(value if not best else sign * max(sign * value, sign * best[-1]))
        numbers = [record.number for record in findings.complete]
        one.step(numbers, best, where="post", color=_BLUE, linewidth=1.4, label="best so far")
        one.set_xlabel("trial")
        one.set_ylabel(findings.task.objectives[index].title)
        one.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(figure, axes[0])
    return figure


def _points(one: Axes, findings: Findings, index: int, places: Sequence[float]) -> None:
    """The trials with error bars, the winner apart, and the defaults as a line."""
    records = findings.complete
    is_winner = [findings.winner is not None and one.number == findings.winner.number for one in records]
    for wanted, color, size, label in ((False, _GREY, 4, "trial"), (True, _ORANGE, 8, "winner")):
        chosen = [row for row, winning in enumerate(is_winner) if winning is wanted]
        if chosen:
            one.errorbar(
                [places[row] for row in chosen],
                [records[row].values[index] for row in chosen],
                yerr=[records[row].estimates[index].half or 0.0 for row in chosen],
                fmt="o",
                color=color,
                markersize=size,
                elinewidth=0.9,
                alpha=1.0 if wanted else 0.75,
                zorder=3 if wanted else 2,
                label=label,
            )
    if findings.defaults is not None:
        value = findings.defaults.values[index]
        one.axhline(value, color=_GREEN, linewidth=1.1, linestyle="--", label="defaults")


def _slices(findings: Findings) -> Figure:
    """Each objective over each parameter."""
    pairs = [(index, name) for index in range(len(findings.task.objectives)) for name in findings.task.space]
    figure, axes = _axes(len(pairs), columns=len(findings.task.space))
    for one, (index, name) in zip(axes, pairs, strict=True):
        dimension = findings.task.space[name]
        if dimension.choices is None:
            places = [float(record.parameters[name]) for record in findings.complete]
            if dimension.log:
                one.set_xscale("log")
        else:
            texts = [choice_text(choice) for choice in dimension.choices]
            chosen = [texts.index(choice_text(record.parameters[name])) for record in findings.complete]
            places = _beside(chosen)
            one.set_xticks(range(len(texts)), [text[:18] for text in texts])
        _points(one, findings, index, places)
        one.set_xlabel(name)
        one.set_ylabel(findings.task.objectives[index].title)
    _legend(figure, axes[0])
    return figure


def _beside(chosen: Sequence[int]) -> list[float]:
    """Where trials stand that have a choice each: those of one choice side by side, in their order."""
    seen: Counter[int] = Counter()
    counts = Counter(chosen)
    places = []
    for choice in chosen:
        places.append(choice + _SPREAD * ((2 * seen[choice] + 1) / counts[choice] - 1))
        seen[choice] += 1
    return places


def _importance(findings: Findings) -> Figure | None:
    """How much each parameter decides; not drawn where too few trials tell."""
    told = [
        (objective.title, shares)
        for objective, shares in zip(findings.task.objectives, findings.importances, strict=True)
        if shares
    ]
    if not told or len(findings.task.space) < 2:
        return None
    figure, axes = _axes(len(told), height=1.3 + 0.35 * len(findings.task.space))
    for one, (title, shares) in zip(axes, told, strict=True):
        names = sorted(shares, key=shares.__getitem__)
        bars = one.barh(names, [shares[name] for name in names], height=0.55, color=_BLUE)
        one.bar_label(bars, fmt="%.2f", padding=4, fontsize=8)
        one.grid(axis="x", color="#e4e6ea", linewidth=0.8)
        one.grid(visible=False, axis="y")
        one.set_xlim(0, 1.1)
        one.set_xticks([0, 0.25, 0.5, 0.75, 1])
        one.set_title(title, fontsize=10)
        one.set_xlabel("share in what decides it")
    return figure


def _pareto(findings: Findings) -> Figure | None:
    """Every pair of objectives, with the front."""
    count = len(findings.task.objectives)
    pairs = [(first, second) for first in range(count) for second in range(first + 1, count)]
    if not pairs:
        return None
    figure, axes = _axes(len(pairs), width=5.6, height=4.2)
    for one, (first, second) in zip(axes, pairs, strict=True):
        _cloud(one, findings, first, second)
        for label, place in ((one.set_xlabel, first), (one.set_ylabel, second)):
            objective = findings.task.objectives[place]
            label(f"{objective.title} ({'more' if sign_of(findings.task, place) > 0 else 'less'} is better)")
    _legend(figure, axes[0])
    return figure


def _cloud(one: Axes, findings: Findings, first: int, second: int) -> None:
    def places(records: Sequence[Record]) -> tuple[list[float], list[float]]:
        return [record.values[first] for record in records], [record.values[second] for record in records]

    def drawn(records: Sequence[Record], color: str, size: float, label: str, line: str = "") -> None:
        one.errorbar(
            *places(records),
            xerr=[record.estimates[first].half or 0.0 for record in records],
            yerr=[record.estimates[second].half or 0.0 for record in records],
            fmt=f"o{line}",
            color=color,
            markersize=size,
            elinewidth=0.8,
            label=label,
        )

    # The noise of all trials would be a hatching under the front.
    one.plot(*places(findings.complete), "o", color=_GREY, markersize=4, alpha=0.5, label="trial")
    if findings.defaults is not None:
        drawn([findings.defaults], _GREEN, 6, "defaults")
    along = sorted(findings.front, key=lambda record: record.values[first])
    drawn(along, _BLUE, 5, "front", "-" if len(findings.task.objectives) == 2 else "")
    if findings.winner is not None:
        drawn([findings.winner], _ORANGE, 8, "winner")
