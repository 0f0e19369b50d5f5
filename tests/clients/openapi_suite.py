"""Requests that schemathesis makes from our own OpenAPI document: `make test-clients`."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.programs import ENVIRONMENTS, ROOT
from tests.faults.process import ServerProcess
from tests.waiting import PATIENCE

_CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)


@pytest.fixture
def small_server() -> Iterator[ServerProcess]:
    """A context so small that no request runs for long."""
    server = ServerProcess("--threads", "1", "--context-size", "256", "--responses-db", "memory")
    yield server
    assert server.stop() == 0, server.output


def test_every_answer_is_one_that_the_document_describes(small_server: ServerProcess, tmp_path: Path) -> None:
    # llama.cpp's server answers so, too, where it is asked to change what cannot be changed.
    statuses = '[checks.not_a_server_error]\nexpected-statuses = ["2xx", "3xx", "4xx", "501"]\n'
    (tmp_path / "schemathesis.toml").write_text(statuses)
    command = [
        str(ENVIRONMENTS / "openai-3" / "bin" / "schemathesis"),
        *("--no-color", "run", f"{small_server.address}/openapi.json"),
        *(
            "--phases",
            "coverage,fuzzing",
            "--max-examples",
            "15",
            "--generation-deterministic",
            "--no-shrink",
        ),
        # Ten seconds otherwise.
        *("--request-timeout", str(PATIENCE)),
        *("--checks", ",".join(_CHECKS), "--suppress-health-check", "all", "--continue-on-failure"),
    ]
    hooks = {"SCHEMATHESIS_HOOKS": "tests.clients.scripts.schemathesis_hooks", "PYTHONPATH": str(ROOT)}
    found = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, **hooks},
        capture_output=True,
        text=True,
        timeout=10 * PATIENCE,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
