"""Events over ZeroMQ, read as vLLM's own subscribers read them."""

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from caravan.engine.block_events import (
    AllBlocksCleared,
    BlocksRemoved,
    BlocksStored,
    block_hashes,
    chain_root,
)
from caravan.observability.kv_events import publisher as module
from caravan.observability.kv_events.publisher import KvEventPublisher, KvEventsError

from tests.observability.kv_events.router import BlockRemoved, BlockStored, Cleared, Router

TOPIC = b"kv@pod:8000@small"
TEXT = tuple(range(192))
NAMES = tuple(block_hashes(TEXT, chain_root("a model")))
STORED = BlocksStored(NAMES, None, TEXT, 64)


@contextmanager
def joined() -> Iterator[tuple[KvEventPublisher, Router]]:
    """A publisher and a router that hears it."""
    events, replay = (f"ipc://@caravan-{kind}-{free_number()}" for kind in ("events", "replay"))
    with (
        closing(KvEventPublisher(events, replay, "pod:8000")) as publisher,
        closing(Router(events, replay)) as router,
    ):
        join = publisher.listener("joining")
        while not router.has_news(10):
            join([AllBlocksCleared()])
        while router.has_news(50):
            router.receive()
        yield publisher, router


def free_number() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def test_vllms_decoder_reads_every_event() -> None:
    with joined() as (publisher, router):
        tell = publisher.listener("small")
        tell([AllBlocksCleared(), STORED])
        tell([BlocksRemoved(NAMES[2:])])
        topic, first, batch = router.receive()
        assert (topic, batch.data_parallel_rank) == (TOPIC, 0)
        assert batch.ts > 1.7e9
        assert batch.events == [
            Cleared(),
            BlockStored(list(NAMES), None, list(TEXT), 64, None, "GPU", None),
        ]
        topic, second, batch = router.receive()
        assert (topic, second) == (TOPIC, first + 1)
        assert batch.events == [BlockRemoved(list(NAMES[2:]), "GPU")]


def test_what_is_private_is_not_published() -> None:
    salted = BlocksStored(NAMES, None, TEXT, 64, ("", "someone", ""))
    behind = BlocksStored((5,), NAMES[2], TEXT[:64], 64)
    with joined() as (publisher, router):
        tell = publisher.listener("small")
        tell([salted, behind])
        tell([behind])
        tell([BlocksRemoved((5, *reversed(NAMES)))])
        *_, batch = router.receive()
        assert batch.events == [BlockStored([NAMES[0]], None, list(TEXT[:64]), 64, None, "GPU", None)]
        *_, batch = router.receive()
        assert batch.events == [BlockRemoved([NAMES[0]], "GPU")]


def test_who_has_missed_something_is_told_it_again() -> None:
    with joined() as (publisher, router):
        tell = publisher.listener("small")
        tell([AllBlocksCleared(), STORED])
        tell([BlocksRemoved(NAMES[2:])])
        live = [router.receive(), router.receive()]
        first = live[0][1]
        assert router.replay(first) == live
        assert router.replay(first + 1) == live[1:]
        assert router.replay(first + 2) == []
        router.say(b"")
        router.say(b"", b"", b"", b"too many", b"x" * 99)
        assert router.replay(0)[-2:] == live


def test_what_is_kept_no_longer_is_told_as_what_it_came_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_NUM_KEPT", 2)
    with joined() as (publisher, router):
        tell, other = publisher.listener("small"), publisher.listener("other")
        tell([AllBlocksCleared(), STORED])
        tell([BlocksRemoved(NAMES[1:])])
        other([AllBlocksCleared()])
        other([BlocksStored(NAMES[:1], None, TEXT[:64], 64)])
        last = [router.receive() for _ in range(4)][-1][1]
        told = {topic: batch.events for topic, _, batch in router.replay(0)}
        held = [Cleared(), BlockStored([NAMES[0]], None, list(TEXT[:64]), 64, None, "GPU", None)]
        assert told == {TOPIC: held, b"kv@pod:8000@other": held, b"kv@pod:8000@joining": [Cleared()]}
        assert [number for _, number, _ in router.replay(0)] == [last - 2, last - 1, last]


def test_an_address_that_is_none_or_taken_is_one_line() -> None:
    with pytest.raises(KvEventsError, match="cannot connect to tcp://nonsense"):
        KvEventPublisher("tcp://nonsense", None, "pod")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(KvEventsError, match=f"cannot listen on {address}"):
            KvEventPublisher(f"ipc://@caravan-{free_number()}", address, "pod")


def test_without_the_library_a_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "zmq", None)
    with pytest.raises(KvEventsError, match=r"llama-caravan\[kv-events\]"):
        KvEventPublisher("tcp://*:0", None, "pod")
