"""OpenAI's agent on the command line, with the server in its `config.toml`."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.clients.conversation import BASE_URL, MODEL, REPORT, WEATHER, run
from tests.clients.programs import ENVIRONMENTS, ROOT

CODEX = ENVIRONMENTS / "codex" / "node_modules" / ".bin" / "codex"
CONFIG = f"""
model = "{MODEL}"
model_provider = "caravan"
model_context_window = 1000000
model_reasoning_summary = "detailed"
check_for_update_on_startup = false

[analytics]
enabled = false

[model_providers.caravan]
name = "Caravan"
base_url = "{BASE_URL}"
wire_api = "responses"

[mcp_servers.weather]
command = "{sys.executable}"
args = ["-m", "tests.clients.scripts.weather_mcp"]
cwd = "{ROOT}"
"""
SCHEMA = {
    "type": "object",
    "properties": {"degrees": {"type": "integer"}},
    "required": ["degrees"],
    "additionalProperties": False,
}
# It is deleted when this ends.
FOLDER = tempfile.TemporaryDirectory(prefix="codex")
HOME = Path(FOLDER.name) / "home"
WORK = Path(FOLDER.name) / "work"


def _items(*arguments: str) -> list[dict[str, Any]]:
    """What Codex shows of a turn: thoughts, commands, messages."""
    command = [str(CODEX), "exec", *arguments, "--json", "--skip-git-repo-check"]
    found = subprocess.run(
        # What the script has it call is harmless, and not every machine lets it make a sandbox.
        [*command, "--dangerously-bypass-approvals-and-sandbox"],
        cwd=WORK,
        env={**os.environ, "HOME": str(HOME), "CODEX_HOME": str(HOME)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    events = map(json.loads, found.stdout.splitlines())
    return [event["item"] for event in events if event["type"] == "item.completed"]


def _texts(items: list[dict[str, Any]], kind: str) -> list[str]:
    return [item["text"] for item in items if item["type"] == kind]


def check_tools() -> None:
    items = _items("Read note.txt")
    (command,) = (item for item in items if item["type"] == "command_execution")
    assert command["aggregated_output"].strip() == REPORT
    assert _texts(items, "agent_message") == ["It says 21 degrees."]


def check_thoughts_as_summaries() -> None:
    assert _texts(_items("Read note.txt"), "reasoning") == ["I look at the file.", "That is all."]


def check_tools_by_mcp() -> None:
    """Codex offers the tools of each such server as a namespace."""
    items = _items(WEATHER)
    (call,) = (item for item in items if item["type"] == "mcp_tool_call")
    assert (call["server"], call["tool"], call["status"]) == ("weather", "get_weather", "completed")
    assert _texts(items, "agent_message") == ["It says 21 degrees."]


def check_schema() -> None:
    (HOME / "schema.json").write_text(json.dumps(SCHEMA))
    items = _items("Read note.txt. Tell it in JSON", "--output-schema", str(HOME / "schema.json"))
    assert json.loads(_texts(items, "agent_message")[-1]) == {"degrees": 21}


def check_going_on() -> None:
    assert _texts(_items("resume", "--last", "Read note.txt"), "agent_message") == ["It says 21 degrees."]


def check_compaction() -> None:
    # The scripted model answers so to the summary alone.
    items = _items("Read long.txt", "-c", "model_auto_compact_token_limit=60000")
    assert _texts(items, "agent_message")[-1] == "It is long."


if __name__ == "__main__":
    HOME.mkdir()
    WORK.mkdir()
    (HOME / "config.toml").write_text(CONFIG)
    (WORK / "note.txt").write_text(REPORT)
    (WORK / "long.txt").write_text("A long line of some file.\n" * 1500)
    run(globals())
