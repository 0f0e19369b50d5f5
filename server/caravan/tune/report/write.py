"""Writes all of it; each file is whole or as it was before."""

import os
from collections.abc import Mapping
from pathlib import Path

from caravan.tune.records import Findings
from caravan.tune.report.charts import charts
from caravan.tune.report.page import page
from caravan.tune.report.presets import presets
from caravan.tune.report.tables import as_csv, as_json


def write(findings: Findings, folder: Path) -> None:
    """Write the report. Charts that there is nothing to draw for are left out, and old ones removed."""
    drawn = charts(findings)
    for name, image in drawn.items():
        _write(folder / name, image)
    texts: Mapping[str, str | None] = {
        "trials.csv": as_csv(findings),
        "report.json": as_json(findings),
        "presets.json": presets(findings),
        "report.md": page(findings, [name for name, image in drawn.items() if image is not None]),
    }
    for name, text in texts.items():
        _write(folder / name, None if text is None else text.encode())


def _write(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink(missing_ok=True)
        return
    draft = path.with_name(f".{path.name}.draft")
    draft.write_bytes(content)
    os.replace(draft, path)
