"""The OpenAPI document's examples: each request is sent as it stands, and gets the answer that is shown."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from caravan.web.examples.document import ANSWERS
from pydantic import JsonValue

from deploy.examples import administrator_in, answers_of, options_in
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


@pytest.fixture
def client(tmp_path: Path) -> Iterator[httpx.Client]:
    """A client, who is an administrator, of a server of its own: one example unloads the model."""
    headers = administrator_in(tmp_path)
    server = ServerProcess(*options_in(tmp_path))
    with httpx.Client(base_url=server.address, timeout=PATIENCE, headers=headers) as client:
        yield client
    assert server.stop() == 0, server.output


def test_each_request_gets_the_answer_that_is_shown(client: httpx.Client) -> None:
    shown = json.loads(ANSWERS.read_text(encoding="utf-8"))
    given = answers_of(client)
    assert list(given) == list(shown), "python -m deploy.examples writes them anew"
    for route, example in shown.items():
        assert given[route]["content"].keys() == example["content"].keys(), route
        for kind, told in example["content"].items():
            assert differences(told, given[route]["content"][kind]) == [], (route, kind)
