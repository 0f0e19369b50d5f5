"""Keys beside each other on a full machine: a greedy one costs a modest one neither answers nor much time."""

import random
import sys
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from caravan.auth import keys_file

from tests.faults.bystanders import Seen, bystanders
from tests.faults.conftest import MODEL
from tests.faults.process import ServerProcess, server_process, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for the child in /proc")

TEXT = "/v1/completions"
_NUM_FLOODS = 8
_PROMPTS = 128


class Served:
    """A server of several keys, which computes four texts at once and lets 200 wait."""

    def __init__(self, server: ServerProcess, file: Path) -> None:
        self.server = server
        self._file = file

    def key(self, name: str, **fields: object) -> str:
        """Makes a key."""
        return keys_file.add(self._file, name=name, **fields)

    def ask(self, token: str, **fields: object) -> httpx.Response:
        """An answer, or what came instead."""
        body = {"model": MODEL, "prompt": "Hi", "max_tokens": 4, "temperature": 0, **fields}
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.post(self.server.address + TEXT, json=body, headers=headers, timeout=300)

    def watch(self, token: str, num_answers: int) -> Seen:
        """What a client sees that reads one stream after the other."""
        with bystanders(self.server.address, MODEL, count=1, keys=(token,)) as crowd:
            crowd.wait_for(num_answers)
        return crowd.seen


@pytest.fixture
def served(tiny_options: tuple[str, ...], tmp_path: Path) -> Generator[Served, None, None]:
    file = tmp_path / "keys.json"
    keys_file.add(file, name="nobody")
    limits = ("--max-running", "4", "--max-waiting", "200")
    with server_process(
        *tiny_options, "--keys-file", str(file), "--data-dir", str(tmp_path), *limits
    ) as server:
        yield Served(server, file)


class Flood:
    """One key's requests: eight at once, each of 128 prompts, and the next as soon as one is answered."""

    def __init__(self, served: Served, token: str) -> None:
        self._served = served
        self._token = token
        self._over = threading.Event()
        self.statuses: list[int] = []
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(_NUM_FLOODS)]

    def __enter__(self) -> "Flood":
        for thread in self._threads:
            thread.start()
        wait_until(lambda: len(self.statuses) > 0)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        draw = random.Random(number)
        while not self._over.is_set():
            prompts = [f"{draw.random()} is the number" for _ in range(_PROMPTS)]
            answer = self._served.ask(self._token, prompt=prompts, max_tokens=64, ignore_eos=True)
            self.statuses.append(answer.status_code)
            # Clients that are refused come again, if not at once.
            self._over.wait(0.1 if answer.status_code == 503 else 0)


def test_a_greedy_key_costs_a_modest_one_nothing_but_a_little_time(served: Served) -> None:
    modest, greedy = served.key("modest"), served.key("greedy")
    calm = served.watch(modest, 6)
    with Flood(served, greedy) as flood:
        beside = served.watch(modest, 12)
    calm.assert_unharmed()
    beside.assert_unharmed()
    assert set(flood.statuses) <= {200, 503}
    # Before, it waited until one of four long texts had ended, behind a full queue, or was refused.
    print(f"longest wait {calm.longest_wait:.3f} s alone, {beside.longest_wait:.3f} s beside the flood")
    assert beside.longest_wait < 20 * calm.longest_wait + 2


def test_a_full_queue_makes_way_for_whoever_has_less_of_it(served: Served) -> None:
    """The greedy key holds every place; the newest of its requests get the 503, not the modest key's."""
    modest, greedy = served.key("modest"), served.key("greedy")
    with ThreadPoolExecutor(64) as pool:
        many = [
            pool.submit(
                served.ask, greedy, prompt=[f"{n} {i}" for i in range(8)], max_tokens=200, ignore_eos=True
            )
            for n in range(25)
        ]
        wait_until(lambda: _metric(served, greedy, "caravan_num_requests_waiting") >= 190)
        few = [pool.submit(served.ask, modest, prompt=[f"{n}", f"{n}!"]) for n in range(20)]
        assert {future.result().status_code for future in few} == {200}
        statuses = [future.result().status_code for future in many]
    assert set(statuses) == {200, 503}
    assert 1 <= statuses.count(503) <= 12


def test_the_lowest_priority_is_served_in_a_flood_of_higher_ones(served: Served) -> None:
    low, high = served.key("low", priority=-100), served.key("high", priority=100)
    with Flood(served, high):
        answers = [served.ask(low, prompt=f"{number}") for number in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3


def test_tokens_per_minute_hold_in_a_burst(served: Served) -> None:
    limited = served.key("limited", tokens_per_minute=2000)
    with ThreadPoolExecutor(40) as pool:
        burst = [
            pool.submit(served.ask, limited, prompt=f"{number}", max_tokens=400, ignore_eos=True)
            for number in range(40)
        ]
        answers = [future.result() for future in burst]
    used = sum(a.json()["usage"]["total_tokens"] for a in answers if a.status_code == 200)
    assert {answer.status_code for answer in answers} == {200, 429}
    # What the limit allows, and what came back by the time in which it ran.
    seconds = max(answer.elapsed.total_seconds() for answer in answers)
    assert used <= 2000 * (1 + seconds / 60) + 500
    assert used >= 1600


def _metric(served: Served, token: str, name: str) -> float:
    headers = {"Authorization": f"Bearer {token}"}
    text = httpx.get(f"{served.server.address}/metrics", headers=headers, timeout=60).text
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))
