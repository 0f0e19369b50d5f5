"""What Ray costs: milliseconds that it adds to a request and to a frame, printed for docs/ray.md.

The model is the one that ships: it draws slowly enough for each token to be a frame of its own. All that is
asserted is that the costs are not absurd.
"""

import json
import statistics
import time
from typing import Any

import httpx
from caravan.config.load import read_configuration
from caravan.models import registry_of
from caravan.models.resident import model_path

from tests.live_server import live_server
from tests.ray.conftest import MODEL, Deploy

NUM_REQUESTS = 45
NUM_TOKENS = 64
SAY = [{"role": "user", "content": "Tell me of a well in the desert."}]


def times(address: str) -> tuple[list[float], list[float]]:
    """Milliseconds to the first text of each stream, and from there to its end for each of its tokens.

    One stream after the other. A slow reader gets several tokens at once, so single gaps say little.
    """
    first: list[float] = []
    each: list[float] = []
    body = {"model": MODEL, "messages": SAY, "stream": True, "max_tokens": NUM_TOKENS, "ignore_eos": True}
    with httpx.Client(timeout=60) as client:
        for seed in range(NUM_REQUESTS):
            begun = time.perf_counter()
            with client.stream(
                "POST", f"{address}/v1/chat/completions", json={**body, "seed": seed}
            ) as answer:
                came = [time.perf_counter() for line in answer.iter_lines() if has_text(line)]
            first.append(1000 * (came[0] - begun))
            each.append(1000 * (came[-1] - came[0]) / (NUM_TOKENS - 1))
    return first[5:], each[5:]


def has_text(line: str) -> bool:
    if not line.startswith("data: {"):
        return False
    return any(choice["delta"].get("content") for choice in json.loads(line[6:])["choices"])


def told(values: list[float]) -> tuple[float, float]:
    """Median and the 95th percentile."""
    return statistics.median(values), statistics.quantiles(values, n=20)[-1]


def test_what_ray_adds(deploy: Deploy, settings: dict[str, Any]) -> None:
    model = {"model": str(model_path()), "context_size": 1024, "kv_cache_tokens": 4096}
    configured = read_configuration({**settings, **model}).settings
    with live_server(registry_of(configured), configured) as address:
        direct = [told(values) for values in times(address)]
    through = [told(values) for values in times(deploy(model).address)]
    for name, without, with_ray in zip(("first text", "each further token"), direct, through, strict=True):
        print(
            f"{name}, median and 95 %: {without[0]:.2f} and {without[1]:.2f} ms alone, "
            f"{with_ray[0]:.2f} and {with_ray[1]:.2f} ms by Ray"
        )
    assert through[0][0] < 1000
