"""How many tokens of prompts are computed for conversations of many turns: ours against Ray's own routers."""

import random
from typing import Any

import httpx
import pytest

from tests.ray.conftest import MODEL, Deploy

NUM_CONVERSATIONS = 8
NUM_TURNS = 8
_counted: dict[str, int] = {}


def computed(address: str) -> int:
    """Tokens of prompts that were computed for all turns, in an order in which conversations alternate."""
    rng = random.Random(4)
    topics = [
        " ".join(rng.choice(["tent", "camel", "well", "star", "salt"]) for _ in range(60)) for _ in range(8)
    ]
    said = [[{"role": "user", "content": topics[number]}] for number in range(NUM_CONVERSATIONS)]
    total = 0
    with httpx.Client(timeout=60) as client:
        for _ in range(NUM_TURNS):
            for number in rng.sample(range(NUM_CONVERSATIONS), NUM_CONVERSATIONS):
                body: dict[str, Any] = {
                    "model": MODEL,
                    "messages": said[number],
                    "max_tokens": 8,
                    "temperature": 0,
                }
                answer = client.post(f"{address}/v1/chat/completions", json=body).json()
                usage = answer["usage"]
                total += usage["prompt_tokens"] - usage["prompt_tokens_details"]["cached_tokens"]
                text = answer["choices"][0]["message"]["content"] or ""
                said[number] += [
                    {"role": "assistant", "content": text},
                    {"role": "user", "content": "And then?"},
                ]
    return total


@pytest.mark.parametrize("router", ["round_robin", "power_of_two", "prefix"])
def test_a_conversation_is_computed_once(deploy: Deploy, router: str) -> None:
    options: dict[str, Any] = {} if router == "prefix" else {"router": router}
    _counted[router] = computed(deploy(min_replicas=3, **options).address)
    print(f"{router}: {_counted[router]} tokens of prompts computed")
    if router == "prefix":
        assert _counted["prefix"] <= 0.5 * _counted["round_robin"]
        assert _counted["prefix"] <= 0.5 * _counted["power_of_two"]
