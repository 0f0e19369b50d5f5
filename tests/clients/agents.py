"""The clients that `make test-clients-all` adds: agents on the command line, and what installs slowly."""

import json

from tests.clients.conversation import REPORT
from tests.clients.programs import Program
from tests.web.chat_models import hermes

# What Codex calls its shell by.
_SHELL = "exec_command"

AGENTS: tuple[Program, ...] = (
    Program(
        name="Codex",
        environment="codex",
        package="@openai/codex",
        module="codex",
        turns={
            "Read note.txt": "<think>\nI look at the file.\n</think>\n\n"
            + hermes(_SHELL, json.dumps({"cmd": "cat note.txt"})),
            REPORT: "<think>\nThat is all.\n</think>\n\nIt says 21 degrees.",
            "Read long.txt": hermes(_SHELL, json.dumps({"cmd": "cat long.txt"})),
            "CONTEXT CHECKPOINT COMPACTION": "The file long.txt has been read.",
            "The file long.txt has been read.": "It is long.",
            "Close the agent": hermes("multi_agent_v1__close_agent", json.dumps({"target": "nobody"})),
            "invalid agent id": "There is no such agent.",
        },
    ),
)
