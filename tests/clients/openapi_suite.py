"""Requests made by chance from our own OpenAPI document: `make test-clients`."""

from pathlib import Path

from tests.clients.openapi import check_answers
from tests.clients.servers import Serve


def test_every_answer_is_one_that_the_document_describes(serve: Serve, tmp_path: Path) -> None:
    check_answers(serve, tmp_path, "--phases", "fuzzing", "--max-examples", "15")
