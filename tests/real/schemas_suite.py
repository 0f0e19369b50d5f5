"""Schemas on a real model, as hot as it gets: what says `stop` is exactly what was asked for."""

import httpx
import pytest

from tests.e2e.test_exact_answers import EXACT, validate
from tests.real.conftest import RealServer
from tests.waiting import PATIENCE


@pytest.mark.parametrize("name", EXACT)
def test_answers_are_exact(smollm2: RealServer, name: str) -> None:
    body = {
        "model": smollm2.model,
        "messages": [{"role": "user", "content": "Write some JSON."}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": EXACT[name]}},
        "temperature": 1.5,
        "seed": 3,
        "n": 4,
        "max_tokens": 80,
    }
    answer = httpx.post(f"{smollm2.url}/chat/completions", json=body, timeout=PATIENCE)
    if answer.status_code == 400:
        # Names that a pattern leaves may be used up; that is told, too.
        assert answer.json()["error"]["code"] == "constraint_failed", answer.text
        return
    assert answer.status_code == 200, answer.text
    ended = [choice for choice in answer.json()["choices"] if choice["finish_reason"] == "stop"]
    for choice in ended:
        validate(EXACT[name], choice["message"]["content"])
    # Others may go on for longer: fractions, names, further items.
    assert ended or name not in ("constant", "listed", "inside", "int64", "uint64", "narrow")
