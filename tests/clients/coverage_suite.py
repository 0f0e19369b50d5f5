"""Each field of our own OpenAPI document in and out of its range: `make test-clients-all`."""

from pathlib import Path

from tests.clients.openapi import check_answers


def test_every_answer_is_one_that_the_document_describes(tmp_path: Path) -> None:
    check_answers(tmp_path, "--phases", "coverage")
