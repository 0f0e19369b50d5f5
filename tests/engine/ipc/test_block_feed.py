"""Events of blocks on the server's side: late listeners, and an engine that dies and comes back."""

import asyncio
import os
import signal
from collections.abc import Sequence

import pytest
from caravan.engine.block_events import (
    AllBlocksCleared,
    BlockEvent,
    BlocksRemoved,
    BlocksStored,
    block_hashes,
    chain_root,
)
from caravan.engine.ipc import messages
from caravan.engine.ipc.async_engine import AsyncEngine
from caravan.engine.ipc.block_feed import BlockFeed

from tests.conftest import TinyModels
from tests.engine.harness import request
from tests.engine.ipc.test_async_engine import collect, run
from tests.waiting import until

ROOT = chain_root("a model")
TEXT = tuple(range(200))
NAMES = tuple(block_hashes(TEXT, ROOT))
WHOLE = BlocksStored(NAMES, None, TEXT[:192], 64, ("", "one", ""))


def stored(events: Sequence[BlockEvent]) -> list[int]:
    return [name for event in events if isinstance(event, BlocksStored) for name in event.block_hashes]


def test_a_late_listener_is_told_first_what_there_is() -> None:
    sent: list[messages.ToEngine] = []
    feed = BlockFeed(sent.append)
    early: list[BlockEvent] = []
    late: list[BlockEvent] = []
    stop_early = feed.subscribe(early.extend, ROOT)
    assert sent == [messages.WatchBlocks(ROOT, 64)]
    feed.hear([AllBlocksCleared(), WHOLE])
    feed.hear([BlocksRemoved(NAMES[2:])])
    stop_late = feed.subscribe(late.extend, ROOT)
    assert late[0] == AllBlocksCleared()
    assert late[1:] == [
        BlocksStored(NAMES[:1], None, TEXT[:64], 64),
        BlocksStored(NAMES[1:2], NAMES[0], TEXT[64:128], 64, ("one",)),
    ]
    stop_early()
    stop_early()
    feed.hear([BlocksRemoved(NAMES[1:2])])
    assert (len(early), late[-1]) == (3, BlocksRemoved(NAMES[1:2]))
    assert len(sent) == 1
    stop_late()
    feed.hear([WHOLE])
    feed.subscribe(early.extend, b"another")
    assert len(early) == 3
    watches = [messages.WatchBlocks(root, 64) for root in (ROOT, b"another")]
    assert sent == [watches[0], messages.UnwatchBlocks(), watches[1]]


def test_listeners_have_one_root_and_do_not_disturb_each_other(caplog: pytest.LogCaptureFixture) -> None:
    feed = BlockFeed(lambda _message: None)
    told: list[BlockEvent] = []

    def fail(_events: Sequence[BlockEvent]) -> None:
        raise RuntimeError("no")

    feed.subscribe(fail, ROOT)
    feed.subscribe(told.extend, ROOT)
    feed.hear([WHOLE])
    assert told == [WHOLE]
    assert "one who listens for blocks has failed" in caplog.text
    with pytest.raises(ValueError, match="another root"):
        feed.subscribe(told.extend, b"")


def test_an_engine_that_comes_back_begins_its_books_anew(tiny_models: TinyModels) -> None:
    async def test(engine: AsyncEngine) -> None:
        told: list[BlockEvent] = []
        await collect(engine, request("before", TEXT, max_tokens=1))
        end = engine.subscribe_blocks(told.extend, ROOT)
        await until(lambda: stored(told) == list(NAMES))
        assert told[0] == AllBlocksCleared()
        late: list[BlockEvent] = []
        engine.subscribe_blocks(late.extend, ROOT)
        assert stored(late) == list(NAMES)
        told.clear()
        assert engine.pid is not None
        os.kill(engine.pid, signal.SIGKILL)
        await until(lambda: told)
        assert told[0] == AllBlocksCleared()
        await until(lambda: engine.is_ready)
        other = [7, *TEXT[1:70]]
        await collect(engine, request("after", other, max_tokens=1))
        # They come with the step that has computed them, before its outputs.
        assert stored(told) == block_hashes(other, ROOT)
        end()

    run(test, tiny_models["llama"])


def test_a_model_that_is_unloaded_has_nothing_left(tiny_models: TinyModels) -> None:
    told: list[BlockEvent] = []

    async def test(engine: AsyncEngine) -> None:
        engine.subscribe_blocks(told.extend, ROOT)
        await collect(engine, request("r", TEXT, max_tokens=1))
        assert stored(told) == list(NAMES)

    run(test, tiny_models["llama"])
    assert told[-1] == AllBlocksCleared()


def test_asyncio_is_the_listeners_thread(tiny_models: TinyModels) -> None:
    async def test(engine: AsyncEngine) -> None:
        tasks: list[object] = []
        engine.subscribe_blocks(lambda _events: tasks.append(asyncio.get_running_loop()))
        await collect(engine, request("r", TEXT, max_tokens=1))
        assert set(tasks) == {asyncio.get_running_loop()}

    run(test, tiny_models["llama"])
