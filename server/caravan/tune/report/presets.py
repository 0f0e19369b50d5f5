"""The winner as `--presets` takes it; of several objectives, the other finalists beside it."""

import json
from typing import Any

from caravan.tune.records import Findings, Record


def named(findings: Findings) -> dict[str, Record]:
    """The presets' names: the task's for the winner, numbered ones for others of a front."""
    if findings.winner is None:
        return {}
    found = {findings.task.name: findings.winner}
    if len(findings.task.objectives) > 1:
        others = [record for record in findings.front if record.number != findings.winner.number]
        found |= {f"{findings.task.name}-{index}": record for index, record in enumerate(others, 1)}
    return found


def presets(findings: Findings) -> str | None:
    """The file; None where nothing was measured to the end."""
    found = {name: dict(record.parameters) for name, record in named(findings).items()}
    return f"{json.dumps(found, indent=2, ensure_ascii=False)}\n" if found else None


def one_line(parameters: Any) -> str:  # noqa: ANN401 (JSON)
    """Parameters as a line to paste into a request."""
    return json.dumps(parameters, ensure_ascii=False)[1:-1]
