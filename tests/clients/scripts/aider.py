"""The command `aider`: an edit, a test that fails, the edit that mends it. Its model is a scripted one."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.clients.conversation import BASE_URL, MODEL, run


def _aider(folder: Path, *arguments: str) -> str:
    options = (
        "--no-git",
        "--yes-always",
        "--no-check-update",
        "--no-show-model-warnings",
        "--analytics-disable",
    )
    found = subprocess.run(
        [sys.executable, "-m", "aider", "--model", f"openai/{MODEL}", *options, *arguments],
        cwd=folder,
        env={
            **os.environ,
            "HOME": str(folder),
            "OPENAI_API_BASE": BASE_URL,
            "OPENAI_API_KEY": "none",
            # It asks the internet for prices otherwise.
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


def check_edits_until_a_test_passes() -> None:
    for streaming in ("--stream", "--no-stream"):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "greeting.py").write_text("")
            (folder / "check.py").write_text(
                "import greeting\nassert greeting.GREETING == 'hello', 'the greeting is too short'\n"
            )
            test = ("--auto-test", "--test-cmd", f"{sys.executable} check.py")
            edit = ("--edit-format", "whole", "--message", "Make a GREETING.", "greeting.py")
            printed = _aider(folder, streaming, *test, *edit)
            assert (folder / "greeting.py").read_text() == "GREETING = 'hello'\n", printed


if __name__ == "__main__":
    run(globals())
