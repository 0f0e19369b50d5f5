"""The command `llm`, with the server in its `extra-openai-models.yaml`."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.clients.conversation import ANSWER, BASE_URL, MODEL, PERSON, PERSON_SCHEMA, QUESTION, run


def _llm(*arguments: str) -> str:
    entry = {"model_id": "caravan", "model_name": MODEL, "api_base": BASE_URL, "supports_schema": True}
    with tempfile.TemporaryDirectory() as folder:
        # JSON is YAML.
        (Path(folder) / "extra-openai-models.yaml").write_text(json.dumps([entry]))
        return subprocess.run(
            [sys.executable, "-m", "llm", "prompt", "-m", "caravan", "--no-log", *arguments],
            env={**os.environ, "LLM_USER_PATH": folder},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        ).stdout


def check_whole() -> None:
    assert ANSWER in _llm(QUESTION, "--no-stream", "-o", "temperature", "0")


def check_streamed() -> None:
    assert ANSWER in _llm(QUESTION, "-o", "temperature", "0", "-s", "Be brief.")


def check_schema() -> None:
    found = json.loads(_llm(PERSON, "--schema", json.dumps(PERSON_SCHEMA), "-o", "temperature", "0"))
    assert set(found) == {"name", "age"}


if __name__ == "__main__":
    run(globals())
