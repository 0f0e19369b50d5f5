"""Requests that schemathesis makes from our own OpenAPI document, and what their answers have to be."""

import os
import subprocess
from pathlib import Path

from tests.clients.programs import ENVIRONMENTS, ROOT
from tests.clients.servers import Serve
from tests.faults.process import ServerProcess
from tests.waiting import PATIENCE

_CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)


def check_answers(serve: Serve, folder: Path, *chosen: str) -> None:
    """Have schemathesis send requests, and see that the document describes each answer."""
    # A context so small that no request runs for long.
    with serve(threads=1, context_size=256, responses_db="memory") as server:
        _check(server, folder, chosen)


def _check(server: ServerProcess, folder: Path, chosen: tuple[str, ...]) -> None:
    # llama.cpp's server answers so, too, where it is asked to change what cannot be changed.
    statuses = '[checks.not_a_server_error]\nexpected-statuses = ["2xx", "3xx", "4xx", "501"]\n'
    (folder / "schemathesis.toml").write_text(statuses)
    command = [
        str(ENVIRONMENTS / "openai-3" / "bin" / "schemathesis"),
        *("--no-color", "run", f"{server.address}/openapi.json"),
        *chosen,
        *("--generation-deterministic", "--no-shrink"),
        # Ten seconds otherwise.
        *("--request-timeout", str(PATIENCE)),
        *("--checks", ",".join(_CHECKS), "--suppress-health-check", "all", "--continue-on-failure"),
    ]
    hooks = {"SCHEMATHESIS_HOOKS": "tests.clients.scripts.schemathesis_hooks", "PYTHONPATH": str(ROOT)}
    found = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **hooks},
        capture_output=True,
        text=True,
        timeout=10 * PATIENCE,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
