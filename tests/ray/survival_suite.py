"""A replica is killed under streams: all end, as if nothing had been."""

import asyncio
import os
import signal
from typing import Any

import httpx

from tests.ray.conftest import Cluster, Deploy
from tests.ray.texts_suite import streamed

NUM_STREAMS = 20


def wanted(number: int) -> dict[str, Any]:
    """Long enough to be in the middle of it when the replica dies; all kinds of chance and memory."""
    kinds: list[dict[str, Any]] = [
        {"temperature": 0},
        {"temperature": 1.0},
        {"temperature": 1.0, "mirostat": 2},
        {"temperature": 0.9, "repeat_penalty": 1.2, "presence_penalty": 0.3},
        {"temperature": 1.2, "xtc_probability": 0.4},
    ]
    return {"max_tokens": 600, "ignore_eos": True, "seed": number, **kinds[number % len(kinds)]}


def kill(cluster: Cluster, place: int) -> None:
    """End the busiest replica, or its engine, by a signal that nobody can answer."""
    busiest = max(cluster.loads(), key=lambda load: load.num_running)
    assert busiest.num_running > 0
    os.kill(busiest.pids[place], signal.SIGKILL)


async def undisturbed(cluster: Cluster) -> list[tuple[str, dict[str, Any]]]:
    async with httpx.AsyncClient(timeout=120) as client:
        tasks = (streamed(client, cluster.address, **wanted(number)) for number in range(NUM_STREAMS))
        return list(await asyncio.gather(*tasks))


async def disturbed(cluster: Cluster, place: int) -> list[tuple[str, dict[str, Any]]]:
    async with httpx.AsyncClient(timeout=120) as client:
        tasks = [
            asyncio.create_task(streamed(client, cluster.address, **wanted(number)))
            for number in range(NUM_STREAMS)
        ]
        while sum(load.num_running for load in cluster.loads()) < NUM_STREAMS:
            await asyncio.sleep(0.02)
        kill(cluster, place)
        return list(await asyncio.gather(*tasks))


def check_same(found: list[tuple[str, dict[str, Any]]], calm: list[tuple[str, dict[str, Any]]]) -> None:
    assert [text for text, _ in found] == [text for text, _ in calm]
    for (_, usage), (_, expected) in zip(found, calm, strict=True):
        assert usage["completion_tokens"] == expected["completion_tokens"] == 600
        assert usage["prompt_tokens"] == expected["prompt_tokens"]
        assert usage["total_tokens"] == expected["total_tokens"]


def test_streams_outlive_the_replica_and_the_engine_that_make_them(deploy: Deploy) -> None:
    cluster = deploy(min_replicas=3)
    calm = asyncio.run(undisturbed(cluster))
    check_same(asyncio.run(disturbed(cluster, 0)), calm)
    check_same(asyncio.run(disturbed(cluster, 1)), calm)
