"""guidellm, which measures servers: texts of a fixed length, and rounds with a tool."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.clients.conversation import ANSWER, BASE_URL, MODEL, QUESTION, REPORT, WEATHER, WEATHER_TOOL, run

COUNTED = [{"prompt": QUESTION, "output_tokens_count": 12}] * 2


def _measured(route: str, rows: list[dict[str, Any]], num_requests: int) -> list[dict[str, Any]]:
    """The requests as its report has them; all of them are to succeed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        target = BASE_URL.removesuffix("/v1")
        found = subprocess.run(
            [
                *(str(Path(sys.executable).parent / "guidellm"), "run", "--disable-console"),
                *("--backend", f"kind=openai_http,target={target},model={MODEL},request_format={route}"),
                *("--profile", "kind=synchronous"),
                *("--constraint", f"kind=max_requests,count={num_requests}"),
                *("--data", f"kind=json_file,path={folder}/rows.jsonl"),
                *("--output", f"kind=json,path={folder}/report.json"),
            ],
            env={**os.environ, "HF_HOME": name, "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.returncode == 0, found.stdout + found.stderr
        (benchmark,) = json.loads((folder / "report.json").read_text())["benchmarks"]
    requests: dict[str, list[dict[str, Any]]] = benchmark["requests"]
    assert not requests["errored"], requests["errored"]
    assert len(requests["successful"]) == num_requests
    return requests["successful"]


def check_chats_of_a_fixed_length() -> None:
    for request in _measured("/v1/chat/completions", COUNTED, 2):
        assert ANSWER in request["output"]
        assert request["output_tokens"] == 12


def check_texts_of_a_fixed_length() -> None:
    for request in _measured("/v1/completions", COUNTED, 2):
        assert request["output_tokens"] == 12


def check_tools() -> None:
    row = {"prompt": WEATHER, "tools": json.dumps([WEATHER_TOOL]), "tool_response": REPORT}
    call, answer = _measured("/v1/chat/completions", [row], 2)
    assert json.loads(call["tool_calls"][0]["function"]["arguments"]) == {"city": "Paris"}
    assert "21" in answer["output"]


if __name__ == "__main__":
    run(globals())
