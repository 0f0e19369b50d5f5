"""The trials as CSV, and all findings as JSON."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from caravan.tune.numbers import Estimate
from caravan.tune.records import Findings, Record, State


def as_csv(findings: Findings) -> str:
    """A line for each trial; the defaults come first."""
    text = io.StringIO()
    names = list(findings.task.space)
    titles = [objective.title for objective in findings.task.objectives]
    of_scores = [f"{title}{end}" for title in titles for end in ("", " low", " high")]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", *names, *of_scores, "requests", "message"])
    for record in _all(findings):
        writer.writerow(
            [
                "defaults" if record.number < 0 else record.number,
                record.state.value,
                *(_cell(record.parameters.get(name, "")) for name in names),
                *_of_estimates(record, len(titles)),
                record.num_requests,
                record.message,
            ]
        )
    return text.getvalue()


def _all(findings: Findings) -> list[Record]:
    return [*([findings.defaults] if findings.defaults else []), *findings.records]


def _cell(value: object) -> object:
    return json.dumps(value) if isinstance(value, list | dict | bool) else value


def _of_estimates(record: Record, count: int) -> list[object]:
    if record.state is not State.COMPLETE:
        return [""] * (3 * count)
    return [
        number for estimate in record.estimates for number in (estimate.mean, estimate.low, estimate.high)
    ]


def as_json(findings: Findings) -> str:
    """All that was found, with every score."""
    held_out = findings.held_out
    document = {
        "task": json.loads(findings.task.model_dump_json(by_alias=True, exclude_unset=True)),
        "model": findings.model,
        "ended": {"why": findings.ending.value, "message": findings.message},
        "spent": {
            "requests": findings.num_requests,
            "tokens": findings.num_tokens,
            "seconds": round(findings.seconds, 1),
        },
        "winner": None if findings.winner is None else findings.winner.number,
        "front": [record.number for record in findings.front],
        "defaults": None if findings.defaults is None else _document(findings.defaults, findings),
        "trials": [_document(record, findings) for record in findings.records],
        "held_out": None
        if held_out is None
        else {
            "defaults": _estimates(held_out.estimates(None), findings),
            **{
                str(number): _estimates(held_out.estimates(number), findings) for number in held_out.finalists
            },
        },
        "importances": {
            objective.title: shares
            for objective, shares in zip(findings.task.objectives, findings.importances, strict=True)
        },
    }
    return f"{json.dumps(document, indent=2, ensure_ascii=False)}\n"


def _document(record: Record, findings: Findings) -> dict[str, Any]:
    is_complete = record.state is State.COMPLETE
    return {
        "number": record.number,
        "state": record.state.value,
        "parameters": dict(record.parameters),
        "estimates": _estimates(record.estimates, findings) if is_complete else {},
        "scores": record.scores,
        "requests": record.num_requests,
        "message": record.message,
    }


def _estimates(estimates: Sequence[Estimate], findings: Findings) -> dict[str, Any]:
    titles = [objective.title for objective in findings.task.objectives]
    return {
        title: {"mean": estimate.mean, "half_width": estimate.half, "scores": estimate.num_scores}
        for title, estimate in zip(titles, estimates, strict=True)
    }
