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

NUM_REQUESTS = 40
SAY = [{"role": "user", "content": "Tell me of a well in the desert."}]


def times(address: str) -> tuple[list[float], list[float]]:
    """Milliseconds to the first piece of text, and from each to the next, one stream after the other."""
    first: list[float] = []
    gaps: list[float] = []
    body = {
        "model": MODEL,
        "messages": SAY,
        "stream": True,
        "max_tokens": 24,
        "temperature": 0,
        "ignore_eos": True,
    }
    with httpx.Client(timeout=60) as client:
        for _ in range(NUM_REQUESTS):
            begun = last = time.perf_counter()
            with client.stream("POST", f"{address}/v1/chat/completions", json=body) as answer:
                has_text = False
                for line in answer.iter_lines():
                    if not line.startswith("data: {"):
                        continue
                    choices = json.loads(line[6:])["choices"]
                    if not choices or not choices[0]["delta"].get("content"):
                        continue
                    now = time.perf_counter()
                    (gaps if has_text else first).append(1000 * (now - (last if has_text else begun)))
                    last, has_text = now, True
    return first[10:], gaps[200:]


def told(values: list[float]) -> tuple[float, float]:
    """Median and the 95th percentile."""
    return statistics.median(values), statistics.quantiles(values, n=20)[-1]


def test_what_ray_adds(deploy: Deploy, settings: dict[str, Any]) -> None:
    model = {"model": str(model_path()), "context_size": 1024, "kv_cache_tokens": 4096}
    configured = read_configuration({**settings, **model}).settings
    with live_server(registry_of(configured), configured) as address:
        direct = [told(values) for values in times(address)]
    through = [told(values) for values in times(deploy(model).address)]
    for name, without, with_ray in zip(("first text", "next text"), direct, through, strict=True):
        print(
            f"{name}, median and 95 %: {without[0]:.2f} and {without[1]:.2f} ms alone, "
            f"{with_ray[0]:.2f} and {with_ray[1]:.2f} ms by Ray"
        )
    assert through[0][0] < 1000
