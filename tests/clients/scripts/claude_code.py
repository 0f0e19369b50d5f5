"""Anthropic's agent on the command line, with the server in its environment."""

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.clients.conversation import BASE_URL, MODEL, REPORT, run
from tests.clients.programs import ENVIRONMENTS

CLAUDE = ENVIRONMENTS / "claude-code" / "node_modules" / ".bin" / "claude"
# It is deleted when this ends.
FOLDER = tempfile.TemporaryDirectory(prefix="claude")
HOME = Path(FOLDER.name) / "home"
WORK = Path(FOLDER.name) / "work"
MODELS = ("ANTHROPIC_MODEL", *(f"ANTHROPIC_DEFAULT_{size}_MODEL" for size in ("OPUS", "SONNET", "HAIKU")))
# Nothing of what this machine has set for an agent of its own.
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith(("ANTHROPIC_", "CLAUDE"))},
    **dict.fromkeys(MODELS, MODEL),
    "HOME": str(HOME),
    "ANTHROPIC_BASE_URL": BASE_URL.removesuffix("/v1"),
    "ANTHROPIC_AUTH_TOKEN": "none",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
}


def _events(*arguments: str) -> list[dict[str, Any]]:
    """What it tells of a turn; the last is the result."""
    options = ("--output-format", "stream-json", "--verbose", "--max-turns", "5")
    found = subprocess.run(
        [str(CLAUDE), "-p", *arguments, *options, "--allowedTools", "Read", "Bash", "TaskStop"],
        cwd=WORK,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return [json.loads(line) for line in found.stdout.splitlines()]


def _round(*arguments: str) -> tuple[list[str], str]:
    """The tools that a turn has called, and the answer."""
    *events, result = _events(*arguments)
    said = (event["message"]["content"] for event in events if event["type"] == "assistant")
    tools = [block["name"] for blocks in said for block in blocks if block["type"] == "tool_use"]
    assert not result["is_error"], result
    return tools, result["result"]


def check_tools() -> None:
    assert _round("Read note.txt") == (["Read"], "It says 21 degrees.")


def check_going_on() -> None:
    assert _round("Count its words", "--continue") == (["Bash"], "It has four words.")


def check_a_search_for_tools() -> None:
    asked = _round("Stop the task abc", "--continue")
    assert asked == (["ToolSearch", "TaskStop"], "There is no such task.")


if __name__ == "__main__":
    HOME.mkdir()
    WORK.mkdir()
    (WORK / "note.txt").write_text(REPORT)
    run(globals())
