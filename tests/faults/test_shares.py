"""Keys beside each other on a full machine: a greedy one costs a modest one neither answers nor much time."""

import contextlib
import random
import select
import socket
import statistics
import sys
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from caravan.auth import keys_file

from tests.faults.bystanders import Seen, bystanders
from tests.faults.clients import client, has_status, request
from tests.faults.conftest import ENDLESS, MODEL
from tests.faults.process import ServerProcess, server_process
from tests.waiting import wait_until
from tests.web.uvicorn.raw import read_answer

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

    def num_waiting(self, token: str) -> float:
        """How many texts are not begun yet."""
        headers = {"Authorization": f"Bearer {token}"}
        lines = httpx.get(f"{self.server.address}/metrics", headers=headers).text.splitlines()
        name = "caravan_num_requests_waiting"
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))

    def watch(self, token: str, num_answers: int) -> Seen:
        """What a client sees that reads one stream after the other."""
        with bystanders(self.server.address, MODEL, count=1, keys=(token,)) as crowd:
            crowd.wait_for(num_answers)
        return crowd.seen


@pytest.fixture
def served(roomy_options: tuple[str, ...], tmp_path: Path) -> Generator[Served, None, None]:
    file = tmp_path / "keys.json"
    keys_file.add(file, name="nobody")
    limits = ("--max-running", "4", "--max-waiting", "200")
    with server_process(
        *roomy_options, "--keys-file", str(file), "--data-dir", str(tmp_path), *limits
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
            status = self._ask(request(key=self._token, prompt=prompts, max_tokens=64, ignore_eos=True))
            if status is not None:
                self.statuses.append(status)
            # Clients that are refused come again, if not at once.
            self._over.wait(0.1 if status == 503 else 0)

    def _ask(self, sent: bytes) -> int | None:
        """The status of an answer; None where it had not come when all was over."""
        with client(self._served.server.address) as opened:
            opened.sendall(sent)
            while not self._over.is_set():
                if select.select([opened], [], [], 0.05)[0]:
                    return read_answer(opened).status
        return None


def test_a_greedy_key_costs_a_modest_one_nothing_but_a_little_time(served: Served) -> None:
    modest, greedy = served.key("modest"), served.key("greedy")
    calm = served.watch(modest, 6)
    with Flood(served, greedy) as flood:
        beside = served.watch(modest, 12)
    calm.assert_unharmed()
    beside.assert_unharmed()
    assert set(flood.statuses) <= {200, 503}
    # Before, it waited until one of four long texts had ended, behind a full queue, or was refused.
    usual, longer = statistics.median(calm.waits), statistics.median(beside.waits)
    print(
        f"waits of {usual:.3f} s alone, {longer:.3f} s beside the flood, {beside.longest_wait:.3f} s at most"
    )
    assert longer < 20 * usual + 2


def test_a_full_queue_makes_way_for_whoever_has_less_of_it(served: Served) -> None:
    """The greedy key holds every place; the newest of its requests get the 503, not the modest key's."""
    modest, greedy = served.key("modest"), served.key("greedy")
    many: list[socket.socket] = []

    def refused() -> list[socket.socket]:
        return [opened for opened in many if has_status(opened, 503)]

    with contextlib.ExitStack() as stack, ThreadPoolExecutor(4) as pool:
        for number in range(25):
            many.append(stack.enter_context(client(served.server.address)))
            prompts = [f"{number} {place}" for place in range(8)]
            many[-1].sendall(request(key=greedy, prompt=prompts, **ENDLESS))
            wait_until(lambda: served.num_waiting(greedy) == 8 * len(many) - 4)
        # There is room for four more; the other 60 take the places of others, which go in groups of eight.
        few = [pool.submit(served.ask, modest, prompt=[f"{n} {i}" for i in range(16)]) for n in range(4)]
        assert {future.result().status_code for future in few} == {200}
        wait_until(lambda: served.num_waiting(greedy) == 196 - 8 * len(refused()))
        gone = refused()
    assert 1 <= len(gone) <= 8
    assert gone == many[-len(gone) :]


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
