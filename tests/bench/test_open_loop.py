"""What arrives in an open loop, and which answers are good."""

import asyncio
import itertools
import random
import statistics
import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tests.bench import open_loop
from tests.bench.client import run
from tests.bench.plan import Exchange, Plan, Script
from tests.bench.plot import curves
from tests.bench.servers import Server, free_port


def exchange(first: float, ended: float, tokens: int, error: str = "") -> Exchange:
    return Exchange(
        group="clients",
        sent=10.0,
        ended=10.0 + ended,
        times=[] if error else [10.0 + first, 10.0 + ended],
        num_completion_tokens=tokens,
        error=error,
    )


def test_requests_arrive_as_often_as_asked_and_alike_for_each_server() -> None:
    scripts = list(open_loop.arrivals(2.0, 500.0, random.Random(1)))
    assert scripts == list(open_loop.arrivals(2.0, 500.0, random.Random(1)))
    times = [script.at for script in scripts]
    assert times == sorted(times)
    assert times[-1] < 500.0
    assert 900 < len(scripts) < 1100
    gaps = [later - sooner for sooner, later in itertools.pairwise(times)]
    # Of a Poisson process, as large as the mean.
    assert statistics.stdev(gaps) == pytest.approx(0.5, rel=0.15)


@pytest.mark.parametrize("lengths", [open_loop.PROMPT_TOKENS, open_loop.ANSWER_TOKENS])
def test_lengths_have_the_quantiles_of_the_trace(lengths: tuple[int, ...]) -> None:
    generator = random.Random(2)
    drawn = sorted(open_loop.drawn_length(lengths, generator) for _ in range(20_000))
    assert lengths[0] <= drawn[0] <= drawn[-1] <= lengths[-1]
    for share, length in zip(open_loop.SHARES, lengths, strict=True):
        place = round(share / open_loop.SHARES[-1] * (len(drawn) - 1))
        assert drawn[place] == pytest.approx(length, rel=0.1, abs=2)


def test_only_answers_in_time_are_good() -> None:
    exchanges = [
        exchange(0.5, 1.5, 11),
        exchange(1.5, 2.0, 11),
        exchange(0.5, 2.5, 11),
        exchange(0.5, 0.5, 1),
        exchange(0.0, 1.0, 0, "status 503"),
    ]
    found = open_loop.point("ours", 0.5, 10.0, exchanges)
    assert (found.goodput, found.share, found.num_errors) == (0.2, 0.4, 1)
    text = open_loop.markdown([found], "a machine")
    assert "| ours | 0.50 | 0.200 | 0.40 |" in text


def test_a_rate_at_which_nothing_arrives_is_a_point_without_answers() -> None:
    found = open_loop.measured(cast(Server, SimpleNamespace(name="ours", port=0)), 0.01, 0.01)
    assert (found.goodput, found.ttft_p50, found.num_errors) == (0.0, None, 0)


def test_a_client_starts_when_its_request_arrives() -> None:
    async def serve() -> list[tuple[bytes, float]]:
        arrived = []
        began = time.perf_counter()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            request = await reader.readuntil(b"}")
            arrived.append((request[-2:], time.perf_counter() - began))
            writer.write(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            writer.close()

        port = free_port()
        async with await asyncio.start_server(answer, "127.0.0.1", port):
            scripts = [Script(bodies=[{"at": at}], at=at / 10) for at in (3, 0)]
            await run(Plan(port=port, path="/", scripts=scripts))
        return arrived

    (first, _), (second, seconds) = asyncio.run(serve())
    assert (first, second) == (b"0}", b"3}")
    assert seconds >= 0.3


def test_curves_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    curves({"ours": [(1.0, 1.0), (2.0, 1.5)]}, tmp_path / "curves.svg", "rate", "good")
    assert "<svg" in (tmp_path / "curves.svg").read_text()
