"""Any mix of allowed values is an answer or a clear refusal, never a failure, and leaves the server well."""

import random
from typing import Any

import httpx

from tests.e2e.asking import CHAT, TEXT, Asker

VALUES: dict[str, list[Any]] = {
    "temperature": [0, 1e-300, 1e-9, 0.5, 2, 100],
    "dynatemp_range": [0, 1e-9, 100],
    "dynatemp_exponent": [1e-300, 1, 100],
    "top_k": [-1, 0, 1, 2**31 - 1],
    "top_p": [0, 1e-300, 0.5, 1],
    "min_p": [0, 1e-300, 1],
    "typical_p": [0, 1e-300, 0.5, 1],
    "top_n_sigma": [-1, 0, 1e-300, 100],
    "xtc_probability": [0, 1e-300, 1],
    "xtc_threshold": [0, 1e-300, 0.5, 0.6, 1],
    "min_keep": [0, 1, 2**31 - 1],
    "samplers": [
        [],
        "edskypmxt",
        ["temperature", "top_p", "min_p"],
        ["xtc"] * 16,
        ["xtc", "min_p", "top_p", "typ_p", "top_k", "top_n_sigma"],
    ],
    "adaptive_target": [-1, 0, 0.5, 1],
    "adaptive_decay": [0, 0.99],
    "mirostat": [0, 1, 2],
    "mirostat_tau": [1e-300, 5, 100],
    "mirostat_eta": [1e-300, 1],
    "repeat_penalty": [0.01, 1, 100],
    "repeat_last_n": [-1, 0, 1, 2**31 - 1],
    "presence_penalty": [-2, 2],
    "frequency_penalty": [-2, 2],
    "dry_multiplier": [0, 1e-300, 100],
    "dry_base": [1, 1.0000001, 100],
    "dry_allowed_length": [0, 2**31 - 1],
    "dry_penalty_last_n": [-1, 0, 1, 2**31 - 1],
    "dry_sequence_breakers": [[], ["\n"], ["x", "xy", "yx"]],
    "logit_bias": [{}, {"65": 100}, {"65": False}, {"A": -100}, [["the", 100], [65, -100]]],
    "bad_words": [[], ["A"], ["the", "AA"]],
    "allowed_token_ids": [[65], [65, 66, 67], list(range(291))],
    "ignore_eos": [True, False],
    "min_tokens": [0, 5, 2**31 - 1],
    "max_tokens": [-1, 1, 40],
    "max_time": [1e-300, 1, 86_400],
    "n_indent": [0, 1, 2**31 - 1],
    "t_max_predict_ms": [-1, 0, 1, 86_400_000],
    "stop": ["", [], "A", ["\N{GRINNING FACE}", " "], ["AA", "AAA"]],
    "stop_limit": [1, 2, 2**31 - 1],
    "stop_token_ids": [[], [65]],
    "include_stop_str_in_output": [True, False],
    "seed": [-(2**63), -1, 0, 2**63 - 1],
    "n": [1, 3],
    "best_of": [1, 3],
    "preset": ["precise", "creative"],
}
NUM_MIXES = 300


def test_any_mix_is_an_answer_or_a_refusal(http: httpx.Client) -> None:
    askers = [Asker(http, route, stream=stream) for route in (CHAT, TEXT) for stream in (False, True)]
    answered = 0
    for number in range(NUM_MIXES):
        rng = random.Random(number)
        names = rng.sample(sorted(VALUES), rng.randrange(1, 9))
        fields = {name: rng.choice(VALUES[name]) for name in names}
        reply = rng.choice(askers)(**fields)
        assert reply.status in (200, 400), (number, fields, reply.error)
        assert reply.status == 200 or reply.error["type"] == "invalid_request_error"
        answered += reply.status == 200
    assert answered > NUM_MIXES / 4
    assert askers[0]().status == 200
