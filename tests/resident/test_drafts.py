"""Drafts of a running server: the same answers, and what is told of them."""

import httpx

from tests.faults.process import ServerProcess

LINES = "\n".join(f"Line {number}: the quick brown fox jumps over the lazy dog." for number in range(12))


def ask(server: ServerProcess, **fields: object) -> tuple[str, dict[str, int]]:
    """The text of an answer and what its tokens were."""
    body = {
        "messages": [{"role": "user", "content": f"Repeat this.\n{LINES}"}],
        "max_tokens": 120,
        "seed": 3,
        **fields,
    }
    answer = httpx.post(f"{server.address}/v1/chat/completions", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    return told["choices"][0]["message"]["content"], told["usage"]["completion_tokens_details"]


def test_an_answer_is_the_same_with_any_prediction_or_none(live_server: ServerProcess) -> None:
    for temperature in (0, 1):
        plain, details = ask(live_server, temperature=temperature, speculative={"enabled": False})
        assert details["accepted_prediction_tokens"] == details["rejected_prediction_tokens"] == 0
        for content in (plain, LINES, "Nothing like it is ever said."):
            prediction = {"type": "content", "content": content}
            assert ask(live_server, temperature=temperature, prediction=prediction)[0] == plain


def test_what_is_drafted_is_told(live_server: ServerProcess) -> None:
    card = httpx.get(f"{live_server.address}/v1/models/caravan-resident").json()
    assert card["max_draft_tokens"] == 16
    metrics = httpx.get(f"{live_server.address}/metrics").text
    assert "# TYPE caravan_spec_decode_num_draft_tokens_total counter" in metrics
    assert "# TYPE caravan_spec_decode_num_accepted_tokens_total counter" in metrics
