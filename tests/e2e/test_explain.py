"""`POST /v1/decoding/explain` over real decoding: what it tells is what the completion routes do."""

import math
import statistics
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.e2e.asking import CHAT, PROMPT, TEXT
from tests.e2e.conftest import Served
from tests.waiting import PATIENCE, wait_until

EXPLAIN = "/v1/decoding/explain"
MESSAGES = [{"role": "user", "content": PROMPT}]
Json = dict[str, Any]

SETTINGS: list[Json] = [
    {},
    {"temperature": 0},
    {"temperature": 1.4, "top_k": 0, "top_p": 0.8},
    {"mirostat": 1},
    {"mirostat": 2, "mirostat_tau": 3.0},
    {"adaptive_target": 0.4, "top_k": 0},
    {"samplers": ["temperature", "top_k", "infill"], "temperature": 1.5},
    {"xtc_probability": 0.6, "xtc_threshold": 0.05, "typical_p": 0.7, "top_n_sigma": 2.5},
    {"dynatemp_range": 0.5, "min_keep": 3, "min_p": 0.5},
    {"repeat_penalty": 1.3, "presence_penalty": 0.5, "dry_multiplier": 0.8, "dry_allowed_length": 1},
    {"logit_bias": {"65": 4.0, "66": False}, "bad_words": ["a"], "ignore_eos": True},
    {"structured_outputs": {"regex": "(ab|ba){2,9}[0-9]*"}, "temperature": 1.5},
    {"structured_outputs": {"json_object": True}, "top_k": 20},
    {"grammar": 'root ::= "x" [a-c]+ "tail end"', "temperature": 0},
]


def explained(http: httpx.Client, **fields: object) -> Json:
    answer = http.post(EXPLAIN, json={"model": "tiny", **fields})
    assert answer.status_code == 200, answer.text
    told: Json = answer.json()
    return told


def drawn(variant: Json) -> list[int]:
    return [step["token"]["id"] for step in variant["steps"]]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("route", [CHAT, TEXT])
def test_the_tokens_are_those_of_the_completion_routes(
    http: httpx.Client, route: str, settings: Json
) -> None:
    prompt: Json = {"messages": MESSAGES} if route == CHAT else {"prompt": PROMPT}
    asked = {**prompt, **settings, "seed": 3}
    plain = http.post(route, json={"model": "tiny", "max_tokens": 12, "return_token_ids": True, **asked})
    told = explained(http, steps=12, **asked)
    (variant,) = told["variants"]
    (choice,) = plain.json()["choices"]
    assert drawn(variant) == choice["token_ids"]
    ended = {"stop": "stop", "length": None}
    assert variant["finish_reason"] == ended[choice["finish_reason"]]
    if route == TEXT:
        assert variant["text"] == choice["text"]
    assert told["usage"]["prompt_tokens"] == plain.json()["usage"]["prompt_tokens"] == told["prompt_tokens"]
    assert told["usage"]["completion_tokens"] == len(variant["steps"])
    assert [step["position"] for step in variant["steps"]] == [
        told["prompt_tokens"] + place for place in range(len(variant["steps"]))
    ]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_what_is_told_of_a_stage_adds_up(http: httpx.Client, settings: Json) -> None:
    (variant,) = explained(http, prompt=PROMPT, steps=6, candidates=200, seed=3, **settings)["variants"]
    for step in variant["steps"]:
        names = [stage["name"] for stage in step["stages"]]
        assert names == [name for name in variant["stages"] if name in names]
        assert names[0] == "raw"
        assert names[-1] == ("raw" if step["forced"] else "draw")
        before = step["stages"][0]["left"]
        for stage in step["stages"]:
            candidates = stage["candidates"]
            assert stage["left"] + stage["cut"] == before or stage["name"] == "infill"
            before = stage["left"]
            assert len(candidates) == min(200, stage["left"])
            logits = [one["logit"] for one in candidates]
            assert logits == sorted(logits, reverse=True)
            for one in candidates:
                assert one["probability"] == math.exp(one["logit"] - stage["log_sum_exp"])
            if stage["left"] <= 200:
                probabilities = [one["probability"] for one in candidates]
                assert sum(probabilities) == pytest.approx(1, abs=1e-5)
                entropy = -sum(p * math.log2(p) for p in probabilities if p)
                assert stage["entropy"] == pytest.approx(entropy, abs=1e-4)
                assert stage["deviation"] == pytest.approx(statistics.pstdev(logits), rel=1e-4, abs=1e-4)
        last = {one["id"]: one["probability"] for one in step["stages"][-1]["candidates"]}
        if not step["forced"] and step["token"]["id"] in last:
            assert step["probability"] == pytest.approx(last[step["token"]["id"]], rel=1e-6)
        assert step["surprise"] == pytest.approx(-step["logprob"] / math.log(2))
        assert step["entropy"] == step["stages"][0]["entropy"]


def test_variants_share_the_prompt_and_are_what_they_are_alone(http: httpx.Client, served: Served) -> None:
    prompt, variants = "what is computed once for all of them " * 6, [{"temperature": 0}, {"top_k": 3}]
    before = served.engine.stats()
    told = explained(http, prompt=prompt, steps=5, seed=9, cache_salt="fresh", variants=variants)
    wait_until(lambda: served.engine.stats().num_completion_tokens == before.num_completion_tokens + 15)
    after = served.engine.stats()
    # Of the others, only the last token, whose row of logits is wanted.
    assert after.num_cached_tokens - before.num_cached_tokens == 2 * (told["prompt_tokens"] - 1)
    assert told["cached_tokens"] == 0
    assert told["usage"]["prompt_tokens"] == told["prompt_tokens"]
    assert told["usage"]["completion_tokens"] == 15
    for variant, changes in zip(told["variants"], [{}, *variants], strict=True):
        alone = explained(http, prompt=prompt, steps=5, seed=9, **changes)["variants"][0]
        assert (variant["text"], drawn(variant)) == (alone["text"], drawn(alone))
        assert {name: variant["parameters"][name] for name in changes} == changes
    assert told["variants"][1]["stages"] == ["raw", "draw"]


def test_a_continuation_goes_on_from_its_tokens_and_costs_only_new_ones(http: httpx.Client) -> None:
    first = explained(http, prompt=PROMPT, steps=8, temperature=0)
    token_ids = drawn(first["variants"][0])
    other = token_ids[4] + 1
    told = explained(
        http, prompt=PROMPT, steps=3, temperature=0, continue_from=[*token_ids[:4], other], cache_salt=None
    )
    assert told["continued_tokens"] == 5
    # All but the token that is new, whose row of logits is wanted.
    assert told["cached_tokens"] == first["prompt_tokens"] + 4
    plain = http.post(
        TEXT,
        json={
            "model": "tiny",
            "prompt": [*_prompt_ids(http), *token_ids[:4], other],
            "max_tokens": 3,
            "temperature": 0,
            "return_token_ids": True,
        },
    ).json()
    assert drawn(told["variants"][0]) == plain["choices"][0]["token_ids"]
    assert told["variants"][0]["steps"][0]["position"] == first["prompt_tokens"] + 5


def _prompt_ids(http: httpx.Client) -> list[int]:
    tokens: list[int] = http.post("/tokenize", json={"model": "tiny", "prompt": PROMPT}).json()["tokens"]
    return tokens


SEEDED = [settings for settings in SETTINGS if settings.get("temperature") != 0]


@pytest.mark.parametrize("settings", SEEDED, ids=str)
@pytest.mark.parametrize("count", [1, 5, 9])
def test_a_seeded_text_goes_on_as_if_it_had_not_been_interrupted(
    http: httpx.Client, settings: Json, count: int
) -> None:
    asked = {"prompt": PROMPT, "seed": 11, **settings}
    (whole,) = explained(http, steps=12, **asked)["variants"]
    token_ids = drawn(whole)
    count = min(count, len(token_ids) - 1)
    told = explained(http, steps=12 - count, continue_from=token_ids[:count], **asked)
    (rest,) = told["variants"]
    assert drawn(rest) == token_ids[count:]
    assert whole["text"].endswith(rest["text"])
    assert rest["finish_reason"] == whole["finish_reason"]
    for left, right in zip(rest["steps"], whole["steps"][count:], strict=True):
        mu = [step["stages"][-1].get("mu", {}) for step in (left, right)]
        assert mu[0] == pytest.approx(mu[1], rel=1e-4)
        assert left["probability"] == pytest.approx(right["probability"], rel=1e-3)


def test_explanations_take_turns_and_nobody_keeps_one_by_leaving(http: httpx.Client) -> None:
    # On a busy machine it may take longer to connect.
    soon = httpx.Timeout(PATIENCE, read=0.01)
    with pytest.raises(httpx.ReadTimeout):
        http.post(EXPLAIN, json={"model": "tiny", "prompt": PROMPT, "steps": 64}, timeout=soon)
    with ThreadPoolExecutor(4) as clients:
        told = list(clients.map(lambda seed: explained(http, prompt=PROMPT, seed=seed, steps=3), range(4)))
    assert [len(one["variants"][0]["steps"]) for one in told] == [3] * 4
