"""What a whole server tells routers of its prefix cache."""

import signal
from contextlib import closing

import httpx
import pytest
from caravan.config.settings import Settings
from caravan.web.kv_events import publish_events
from caravan.web.startup_message import StartError

from tests.conftest import TinyModels
from tests.fakes_web import loaded_model, registry_over
from tests.faults.process import ServerProcess
from tests.observability.kv_events.router import BlockStored, Cleared, Router
from tests.observability.kv_events.test_publisher import free_number
from tests.waiting import PATIENCE, wait_until

TOPIC = b"kv@me@tiny"


def events_of(router: Router) -> list[object]:
    """All there is to know of the one model."""
    return [event for topic, _, batch in router.replay(0) for event in batch.events if topic == TOPIC]


def test_a_router_knows_what_is_computed_and_what_is_lost(tiny_models: TinyModels) -> None:
    events, replay = (f"ipc://@caravan-{kind}-{free_number()}" for kind in ("server", "again"))
    server = ServerProcess(
        *(
            "--model",
            str(tiny_models["qwen2"]),
            "--model-id",
            "tiny",
            "--threads",
            "1",
            "--context-size",
            "512",
        ),
        *("--kv-events", events, "--kv-events-replay", replay, "--kv-events-name", "me"),
    )
    with closing(Router(events, replay)) as router:
        prompt = list(range(5, 205))
        body = {"model": "tiny", "prompt": prompt, "max_tokens": 1}
        httpx.post(f"{server.url}/completions", json=body, timeout=PATIENCE).raise_for_status()
        (begun, stored) = events_of(router)
        assert begun == Cleared()
        assert isinstance(stored, BlockStored)
        assert (stored.token_ids, stored.block_size) == (prompt[:192], 64)
        salted = {**body, "prompt": prompt[50:], "cache_salt": "mine"}
        httpx.post(f"{server.url}/completions", json=salted, timeout=PATIENCE).raise_for_status()
        assert events_of(router) == [begun, stored]
        server.replace_engine(signal.SIGKILL)
        wait_until(lambda: events_of(router)[-1] == Cleared())
    assert server.stop() == 0, server.output


def test_an_address_that_cannot_be_used_is_one_line() -> None:
    settings = Settings(kv_events="ipc:///none/here")
    with pytest.raises(StartError, match=r"^cannot listen on ipc:///none/here: .+"):
        publish_events(settings, registry_over(loaded_model()))
