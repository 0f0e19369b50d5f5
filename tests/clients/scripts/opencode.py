"""opencode, an agent on the command line, with the server in its `opencode.json`."""

import json
import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.clients.conversation import BASE_URL, MODEL, REPORT, run
from tests.clients.programs import ENVIRONMENTS, ROOT

OPENCODE = ENVIRONMENTS / "opencode" / "node_modules" / ".bin" / "opencode"
# What the page shows for its settings, for this server and model.
_SHOWN = re.search(r"`opencode\.json`.*?```json\n(.*?)```", (ROOT / "docs/clients.md").read_text(), re.DOTALL)
assert _SHOWN
CONFIG = _SHOWN[1].replace("http://127.0.0.1:8000/v1", BASE_URL).replace("caravan-resident", MODEL)
# A token of the scripted model is a byte.
CONFIG = CONFIG.replace("32768", "1000000")
# It is deleted when this ends.
FOLDER = tempfile.TemporaryDirectory(prefix="opencode")
HOME = Path(FOLDER.name) / "home"
WORK = Path(FOLDER.name) / "work"
# It looks for models, programs and plug-ins elsewhere, unless it is told not to.
_ALONE = dict.fromkeys(
    (
        *("OPENCODE_DISABLE_AUTOUPDATE", "OPENCODE_DISABLE_DEFAULT_PLUGINS"),
        *("OPENCODE_DISABLE_LSP_DOWNLOAD", "OPENCODE_DISABLE_MODELS_FETCH"),
    ),
    "true",
)


def _turn(*arguments: str) -> list[dict[str, Any]]:
    """What opencode shows of a turn: texts, thoughts, uses of tools."""
    found = subprocess.run(
        [
            str(OPENCODE),
            "run",
            "--dir",
            str(WORK),
            "--pure",
            "--auto",
            "--thinking",
            "--format",
            "json",
            *arguments,
        ],
        cwd=WORK,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("XDG_")},
            **_ALONE,
            "HOME": str(HOME),
            "PWD": str(WORK),
            "OPENCODE_CONFIG": str(HOME / "opencode.json"),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    events = list(map(json.loads, found.stdout.splitlines()))
    assert not [event for event in events if event["type"] == "error"], found.stdout
    return [event["part"] for event in events]


def _texts(parts: list[dict[str, Any]], kind: str = "text") -> list[str]:
    return [part["text"] for part in parts if part["type"] == kind]


def check_tools_and_thoughts() -> None:
    parts = _turn("Read note.txt")
    (used,) = (part for part in parts if part["type"] == "tool")
    assert used["tool"] == "read"
    assert REPORT in used["state"]["output"]
    assert _texts(parts, "reasoning") == ["I look at the file."]
    assert _texts(parts) == ["It says 21 degrees."]


def check_going_on() -> None:
    assert _texts(_turn("--continue", "Count its words")) == ["It has four words."]


if __name__ == "__main__":
    HOME.mkdir()
    WORK.mkdir()
    (HOME / "opencode.json").write_text(CONFIG)
    (WORK / "note.txt").write_text(REPORT)
    run(globals())
