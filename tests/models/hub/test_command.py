"""`caravan pull` and `caravan list` as a person meets them: processes of their own against the hub."""

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.models.hub.standin import Hub
from tests.waiting import PATIENCE

ROOT = Path(__file__).parents[3]
CONTENT = bytes(range(256)) * (16 << 12)


def start(hub: Hub, data_dir: Path, *words: str) -> subprocess.Popen[str]:
    variables = {
        "HF_ENDPOINT": hub.endpoint,
        "CARAVAN_DATA_DIR": str(data_dir),
        "HF_HOME": str(data_dir / "hf"),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "caravan", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | variables,
    )


def test_a_pull_that_is_killed_goes_on_where_it_was(hub: Hub, tmp_path: Path) -> None:
    hub.repositories["org/name"] = {"name-Q8_0.gguf": CONTENT}
    hub.break_after, hub.stalled = {"name-Q8_0.gguf": 12 << 20}, {"name-Q8_0.gguf"}
    with start(hub, tmp_path, "pull", "org/name") as process:
        deadline = time.monotonic() + PATIENCE
        while not any(part.stat().st_size >= 10 << 20 for part in tmp_path.rglob("*.part")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()
    hub.stalled.clear()
    with start(hub, tmp_path, "pull", "org/name") as process:
        shown, complaints = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert "name-Q8_0.gguf, 16.8 MB" in complaints
    assert "caravan serve --model org/name:Q8_0" in shown
    assert (tmp_path / "models/org/name/name-Q8_0.gguf").read_bytes() == CONTENT
    assert hub.ranges[0] is None
    assert hub.ranges[-1] in (f"bytes={10 << 20}-", f"bytes={12 << 20}-")


def test_what_cannot_be_pulled_is_one_line(hub: Hub, tmp_path: Path) -> None:
    for words, code in ((["pull", "org/none"], 1), (["pull", "none"], 2)):
        with start(hub, tmp_path, *words) as process:
            shown, complaints = process.communicate(timeout=PATIENCE)
        assert (process.returncode, shown, complaints.count("\n")) == (code, "", 1)
        assert complaints.startswith("caravan: ")
