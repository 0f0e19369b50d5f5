"""What the README shows, run as it stands."""

import contextlib
import io
import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.faults.process import ServerProcess

README = Path(__file__).parents[2] / "README.md"
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
# Those of administrators name models that the tests do not have.
CURL = [text for _, text in BLOCKS if text.startswith("curl") and "/admin/" not in text]
PYTHON = [text for language, text in BLOCKS if language == "python"]


def here(text: str, server: ServerProcess) -> str:
    """An example, aimed at the server of the tests."""
    assert "http://127.0.0.1:8000/v1" in text
    return text.replace("http://127.0.0.1:8000/v1", server.url)


def test_there_are_examples() -> None:
    assert len(CURL) >= 3
    assert PYTHON


@pytest.mark.parametrize("text", CURL)
def test_a_curl_line_works(live_server: ServerProcess, text: str) -> None:
    command = ["bash", "-c", here(text, live_server).replace("curl ", "curl --fail-with-body --silent ")]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    if '"stream": true' in text:
        assert answer.endswith("data: [DONE]\n\n")
    else:
        assert json.loads(answer)["usage"]["total_tokens"] > 0


@pytest.mark.parametrize("text", PYTHON)
def test_a_python_example_works(live_server: ServerProcess, text: str) -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        names: dict[str, object] = {}
        exec(compile(here(text, live_server), str(README), "exec"), names)
    client = names["client"]
    assert len(printed.getvalue()) > 20
    client.close()  # type: ignore[attr-defined]
