"""Replicas come and go by the work that waits, and no request fails over it."""

import asyncio
import time
from typing import Any

import httpx

from tests.ray.conftest import Cluster, Deploy
from tests.ray.texts_suite import streamed

# Long prompts, so that more of them wait than one engine computes in the wished time.
WORDS = " ".join(f"word{number}" for number in range(120))
PATIENCE = 60.0


async def number_becomes(cluster: Cluster, wanted: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while (found := len(cluster.loads())) != wanted:
        assert time.monotonic() < deadline, f"{found} replicas"
        await asyncio.sleep(0.2)


def test_one_three_one(deploy: Deploy) -> None:
    options: dict[str, Any] = {
        "max_replicas": 3,
        "first_token_seconds": 0.05,
        "upscale_seconds": 0.5,
        "downscale_seconds": 2.0,
        "drain_seconds": 1.0,
    }
    asyncio.run(up_and_down(deploy(**options)))


async def up_and_down(cluster: Cluster) -> None:
    assert len(cluster.loads()) == 1
    outcomes: list[tuple[str, dict[str, Any]]] = []
    is_busy = True
    async with httpx.AsyncClient(timeout=120, limits=httpx.Limits(max_connections=64)) as client:

        async def keep_asking(number: int) -> None:
            turn = 0
            while is_busy:
                said = [{"role": "user", "content": f"{number} {turn} {WORDS}"}]
                outcomes.append(await streamed(client, cluster.address, messages=said, max_tokens=4))
                turn += 1

        asking = [asyncio.create_task(keep_asking(number)) for number in range(24)]
        await number_becomes(cluster, 3)
        is_busy = False
        await asyncio.gather(*asking)
        # One answer that is longer than a replica that has to go may take: another goes on with it.
        long = {"max_tokens": 1500, "ignore_eos": True, "temperature": 1.0}

        async def long_ones() -> list[tuple[str, dict[str, Any]]]:
            return await asyncio.gather(
                *(streamed(client, cluster.address, seed=seed, **long) for seed in range(6))
            )

        running = asyncio.create_task(long_ones())
        await number_becomes(cluster, 1)
        num_handed_over = 0 if running.done() else cluster.loads()[0].num_running
        print(f"{num_handed_over} answers run in the last replica, {len(outcomes)} were made before")
        found, calm = await running, await long_ones()
    assert [text for text, _ in found] == [text for text, _ in calm]
    assert all(usage["completion_tokens"] == 1500 for _, usage in found)
    assert len(outcomes) >= 24
    assert all(usage["completion_tokens"] > 0 for _, usage in outcomes)
