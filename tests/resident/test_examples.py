"""The OpenAPI document's examples: each request is sent as it stands, and gets the answer that is shown."""

import json
from collections.abc import Iterator

import httpx
import pytest
from caravan.web.examples.document import ANSWERS
from pydantic import JsonValue

from deploy.examples import answers_of
from tests.faults.process import ServerProcess
from tests.waiting import PATIENCE

# What kind of thing something is; ids, times and the words of the model are others each time.
KINDS = ("type", "object", "role")


def differences(shown: JsonValue, given: JsonValue, place: str = "") -> list[str]:
    """Where an answer has other fields than the one that is shown, or things of other kinds.

    How far a background response has come when it is cancelled, nobody knows, so a list may be empty.
    """
    if isinstance(shown, dict) and isinstance(given, dict):
        if shown.keys() != given.keys():
            return [f"{place}: {sorted(shown.keys() ^ given.keys())}"]
        return [found for name in shown for found in differences(shown[name], given[name], f"{place}.{name}")]
    if isinstance(shown, list) and isinstance(given, list):
        return differences(shown[0], given[0], f"{place}[0]") if shown and given else []
    if place.rpartition(".")[2] in KINDS:
        return [] if shown == given else [f"{place}: {given}"]
    numbers = isinstance(shown, int | float) and isinstance(given, int | float)
    return [] if numbers or type(shown) is type(given) else [f"{place}: {given!r}"]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A server of its own: one example unloads the model."""
    server = ServerProcess("--threads", "1", "--responses-db", "memory", "--usage-db", "none")
    yield server.address
    assert server.stop() == 0, server.output


def test_each_request_gets_the_answer_that_is_shown(address: str) -> None:
    shown = json.loads(ANSWERS.read_text(encoding="utf-8"))
    with httpx.Client(base_url=address, timeout=PATIENCE) as client:
        given = answers_of(client)
    assert list(given) == list(shown), "python -m deploy.examples writes them anew"
    for route, example in shown.items():
        assert given[route]["content"].keys() == example["content"].keys(), route
        for kind, told in example["content"].items():
            assert differences(told, given[route]["content"][kind]) == [], (route, kind)
