"""Prompts that are known after a restart: what is sent to servers that keep them by slots, and when."""

import random
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import cast

import msgspec
import pytest

from tests.bench import known
from tests.bench.plan import Body, Script
from tests.bench.scripts import Scale
from tests.bench.servers import KINDS, LLAMA_SERVER, OURS, Keeping, Server
from tests.bench.workloads import BY_NAME

SCRIPTS = [
    Script(bodies=[{"prompt": "a", "stream": True}, {"prompt": "b"}]),
    Script(bodies=[{"prompt": "c"}]),
]
PATH = "/v1/completions"


class Told:
    """A server that is told things, and notes them."""

    name = "told"

    def __init__(self) -> None:
        self.requests: list[tuple[str, Body]] = []
        requests = self.requests

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                requests.append((self.path, msgspec.json.decode(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the library's name)
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def told() -> Generator[Told, None, None]:
    server = Told()
    yield server
    server.close()


def test_slots_are_saved_behind_each_prompt_and_restored_before_all(told: Told) -> None:
    server, notes = cast("Server", told), list[str]()
    known.make_known(Keeping.BY_SLOT, server, PATH, SCRIPTS)
    saved = [(f"/slots/{slot}?action=save", {"filename": f"{slot}.bin"}) for slot in range(3)]
    asked = [(PATH, {"prompt": prompt, "id_slot": slot}) for slot, prompt in enumerate("abc")]
    assert told.requests == [item for pair in zip(asked, saved, strict=True) for item in pair]
    told.requests.clear()
    changed = known.bring_back(Keeping.BY_SLOT, server, SCRIPTS, notes)
    assert [path for path, _ in told.requests] == [f"/slots/{slot}?action=restore" for slot in range(3)]
    assert [body["id_slot"] for script in changed for body in script.bodies] == [0, 1, 2]
    assert changed[0].bodies[0]["stream"]
    assert notes[0].startswith("told was told to restore each prompt: ")


def test_who_keeps_prompts_by_itself_is_only_asked(told: Told) -> None:
    server, notes = cast("Server", told), list[str]()
    known.make_known(Keeping.ITSELF, server, PATH, SCRIPTS)
    assert told.requests == [(PATH, {"prompt": prompt}) for prompt in "abc"]
    assert known.bring_back(Keeping.ITSELF, server, SCRIPTS, notes) == SCRIPTS
    assert not notes


def test_slots_are_enough_for_the_workload() -> None:
    workload = BY_NAME["known"]
    bodies = [body for script in workload.scripts(random.Random(0), Scale(1.0)) for body in script.bodies]
    assert len(bodies) <= workload.parallel
    assert [KINDS[name].keeping for name in (OURS, LLAMA_SERVER)] == [Keeping.ITSELF, Keeping.BY_SLOT]
