"""The clients that `make test-clients-all` adds: agents on the command line, and what installs slowly."""

import json

from tests.clients.conversation import REPORT, WEATHER
from tests.clients.programs import Program
from tests.web.chat_models import hermes

# What Codex calls its shell by.
_SHELL = "exec_command"

AGENTS: tuple[Program, ...] = (
    Program(
        name="aider, the command",
        environment="aider",
        package="aider-chat",
        module="aider",
        turns={
            "Make a GREETING.": "greeting.py\n```\nGREETING = 'hi'\n```\n",
            "the greeting is too short": "It is to be longer.\n\ngreeting.py\n```\nGREETING = 'hello'\n```\n",
        },
    ),
    Program(
        name="Semantic Kernel",
        environment="semantic-kernel",
        package="semantic-kernel",
        module="semantic_kernel",
    ),
    Program(name="guidellm", environment="guidellm", package="guidellm", module="guidellm"),
    Program(
        name="Codex",
        environment="codex",
        package="@openai/codex",
        module="codex",
        turns={
            "Read note.txt": "<think>\nI look at the file.\n</think>\n\n"
            + hermes(_SHELL, json.dumps({"cmd": "cat note.txt"})),
            REPORT: "<think>\nThat is all.\n</think>\n\nIt says 21 degrees.",
            "Tell it in JSON": '{"degrees": 21}',
            "Read long.txt": hermes(_SHELL, json.dumps({"cmd": "cat long.txt"})),
            "CONTEXT CHECKPOINT COMPACTION": "The file long.txt has been read.",
            "The file long.txt has been read.": "It is long.",
            WEATHER: hermes("mcp__weather__get_weather", json.dumps({"city": "Paris"})),
        },
    ),
    Program(
        name="Claude Code",
        environment="claude-code",
        package="@anthropic-ai/claude-code",
        module="claude_code",
        turns={
            "": "A title.",
            "Read note.txt": "I look.\n" + hermes("Read", json.dumps({"file_path": "note.txt"})),
            REPORT: "It says 21 degrees.",
            "Count its words": hermes("Bash", json.dumps({"command": "wc -w < note.txt && echo counted"})),
            "4\ncounted": "It has four words.",
            "Stop the task abc": hermes("ToolSearch", json.dumps({"query": "select:TaskStop"})),
            # How the server shows a tool that has been found.
            '<functions>\n<function>{"description":': hermes("TaskStop", json.dumps({"task_id": "abc"})),
            "No task found": "There is no such task.",
        },
    ),
    Program(
        name="opencode",
        environment="opencode",
        package="opencode-ai",
        module="opencode",
        turns={
            "": "A title.",
            "Read note.txt": "<think>\nI look at the file.\n</think>\n\n"
            + hermes("read", json.dumps({"filePath": "note.txt"})),
            REPORT: "It says 21 degrees.",
            "Count its words": hermes(
                "bash",
                json.dumps({"command": "wc -w < note.txt && echo counted", "description": "Count words"}),
            ),
            "4\ncounted": "It has four words.",
        },
    ),
)
