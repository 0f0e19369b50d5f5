"""`POST /v1/decoding/explain` refuses what it cannot explain, and names the field."""

from typing import Any

import httpx
import pytest
from caravan_schemas.explanations import MAX_CANDIDATES, MAX_CONTINUED, MAX_STEPS, MAX_VARIANTS

PROMPT = {"prompt": "Hello"}
MESSAGES = [{"role": "user", "content": "Hello"}]
TOOL = {"type": "function", "function": {"name": "f"}}
# "a" as a token.
A = 97


@pytest.mark.parametrize(
    ("body", "param", "told"),
    [
        ({}, "prompt", "must be given, or else 'messages'"),
        ({**PROMPT, "messages": MESSAGES}, "prompt", "and only one of them"),
        ({**PROMPT, "tools": [TOOL]}, "tools", "only allowed with 'messages'"),
        ({"prompt": ["a", "b"]}, "prompt[0]", "must be an integer"),
        ({**PROMPT, "stream": True}, "stream", "Unknown parameter"),
        ({**PROMPT, "n": 2}, "n", "Unknown parameter"),
        ({**PROMPT, "logprobs": 1}, "logprobs", "Unknown parameter"),
        ({**PROMPT, "steps": MAX_STEPS + 1}, "steps", "must be from 1 to 64"),
        ({**PROMPT, "candidates": MAX_CANDIDATES + 1}, "candidates", "must be from 1 to 200"),
        ({**PROMPT, "variants": [{}] * (MAX_VARIANTS + 1)}, "variants", "at most 8 items"),
        ({**PROMPT, "continue_from": [A] * (MAX_CONTINUED + 1)}, "continue_from", "at most 1024 items"),
        (
            {**PROMPT, "steps": MAX_STEPS, "candidates": MAX_CANDIDATES, "variants": [{}] * MAX_VARIANTS},
            "candidates",
            "one answer has at most 262144",
        ),
        ({**PROMPT, "variants": [{}, {"temperature": -1}]}, "variants[1].temperature", "at least 0"),
        ({**PROMPT, "variants": [{"preset": "none"}]}, "variants[0].preset", "must be one of"),
        ({**PROMPT, "variants": [{"max_tokens": 0}]}, "variants[0].max_tokens", "at least 1"),
        ({**PROMPT, "max_tokens": 0}, "max_tokens", "at least 1: without a draw"),
        ({**PROMPT, "n_predict": 0}, "n_predict", "at least 1: without a draw"),
        ({**PROMPT, "variants": [{"n": 2}]}, "variants[0].n", "Unknown parameter"),
        # What the request sets itself is not the variant's fault.
        ({**PROMPT, "preset": "none", "variants": [{}]}, "preset", "must be one of"),
        ({**PROMPT, "continue_from": [A, 10**9]}, "continue_from[1]", "the model's token ids"),
        ({**PROMPT, "max_tokens": 2, "continue_from": [A, A]}, "continue_from", "'max_tokens' allows 2"),
        (
            {**PROMPT, "continue_from": [A, A], "variants": [{"max_tokens": 1}]},
            "continue_from",
            "'max_tokens' allows 1",
        ),
        (
            {**PROMPT, "continue_from": [A, 98], "stop": ["a"]},
            "continue_from",
            "ends with the token at place 0",
        ),
        ({**PROMPT, "continue_from": [A], "regex": "b+"}, "continue_from", "does not allow the token 97"),
        ({**PROMPT, "continue_from": [A] * 600}, "continue_from", "The prompt has 60"),
        ({"messages": MESSAGES, "continue_from": [A], "regex": "b+"}, "continue_from", "does not allow"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_cannot_be_explained_is_a_400_that_names_the_field(
    http: httpx.Client, body: dict[str, Any], param: str, told: str
) -> None:
    answer = http.post("/v1/decoding/explain", json={"model": "tiny", **body})
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["param"] == param
    assert told in error["message"]
