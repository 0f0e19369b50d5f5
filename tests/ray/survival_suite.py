"""What is killed under streams: a replica or an actor harms none, an ingress those that go through it."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from caravan.auth import keys_file

from tests.faults.process import child_pids, command_line
from tests.ray.conftest import MODEL, Cluster, Deploy
from tests.ray.texts_suite import streamed
from tests.waiting import PATIENCE, until

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


async def under_way(cluster: Cluster, num_streams: int = NUM_STREAMS // 2) -> None:
    """Wait until so many streams are being made."""
    while sum(load.num_running for load in cluster.loads()) < num_streams:
        # It takes this loop's time, which the streams need.
        await asyncio.sleep(0.02)


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
        await under_way(cluster, NUM_STREAMS)
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


def processes(name: str) -> list[int]:
    """Those of this test's cluster whose title, which Ray gives them, begins so."""
    return [pid for pid in _below(os.getpid()) if command_line(pid).startswith(f"ray::{name}")]


def _below(pid: int) -> Iterator[int]:
    for child in child_pids(pid):
        yield child
        yield from _below(child)


def test_actors_that_are_killed_come_back_and_harm_nobody(deploy: Deploy, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    headers = {"Authorization": f"Bearer {keys_file.add(keys, name='limited', requests_per_minute=1000)}"}
    cluster = deploy(
        {"keys_file": str(keys), "responses_db": str(tmp_path / "kept.db")}, ingresses=2, min_replicas=2
    )

    async def main() -> None:
        async with httpx.AsyncClient(timeout=PATIENCE, headers=headers, base_url=cluster.address) as client:
            calm = await _streams(client, cluster)
            for name in ("Board", "LedgerBook", "ArchiveActor"):
                await kill_actor(cluster, client, name, calm)

    asyncio.run(main())


async def kill_actor(
    cluster: Cluster, client: httpx.AsyncClient, name: str, calm: list[tuple[str, dict[str, Any]]]
) -> None:
    kept = (await _stored(client)).json()["id"]
    streams = asyncio.create_task(_streams(client, cluster))
    await under_way(cluster)
    (victim,) = processes(name)
    os.kill(victim, signal.SIGKILL)
    # Others come while it is away: they are answered, and counted.
    answer = await _stored(client)
    assert answer.status_code == 200, answer.text
    assert int(answer.headers["x-ratelimit-remaining-requests"]) > 0
    check_same(await streams, calm)
    for found in (kept, answer.json()["id"]):
        assert (await client.get(f"/v1/responses/{found}")).status_code == 200
    await until(lambda: len(processes(name)) == 1 and processes(name) != [victim])
    # The next board is told of every replica.
    await until(lambda: len(cluster.loads()) == 2)


async def _streams(client: httpx.AsyncClient, cluster: Cluster) -> list[tuple[str, dict[str, Any]]]:
    tasks = (streamed(client, cluster.address, **wanted(number)) for number in range(NUM_STREAMS))
    return list(await asyncio.gather(*tasks))


async def _stored(client: httpx.AsyncClient) -> httpx.Response:
    return await client.post(
        "/v1/responses", json={"model": MODEL, "input": "Well?", "max_output_tokens": 16}
    )


def test_an_ingress_that_is_killed_takes_its_own_connections_alone(deploy: Deploy) -> None:
    cluster = deploy(ingresses=2, min_replicas=2)

    async def main() -> None:
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            calm = await _streams(client, cluster)
            tasks = [
                asyncio.create_task(streamed(client, cluster.address, **wanted(number)))
                for number in range(NUM_STREAMS)
            ]
            await under_way(cluster)
            victim, other = processes("ServeReplica:tests:ingress")
            os.kill(victim, signal.SIGKILL)
            found = await asyncio.gather(*tasks, return_exceptions=True)
            whole = [(now, before) for now, before in zip(found, calm, strict=True) if not _is_cut(now)]
            assert 0 < len(whole) < NUM_STREAMS
            check_same([now for now, _ in whole], [before for _, before in whole])  # type: ignore[misc]
            # What it had asked for is given up.
            await until(lambda: not any(load.num_running for load in cluster.loads()))
            await until(lambda: len(processes("ServeReplica:tests:ingress")) == 2)
            assert other in processes("ServeReplica:tests:ingress")
            check_same(await _streams(client, cluster), calm)

    asyncio.run(main())


def _is_cut(found: object) -> bool:
    return isinstance(found, httpx.HTTPError | AssertionError)
