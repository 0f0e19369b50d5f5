"""Whoever reads the board knows what each replica has and does, however late it comes."""

import asyncio
import random

from caravan.engine.block_events import AllBlocksCleared, BlocksRemoved, BlocksStored
from caravan.ray_serve import wire
from caravan.ray_serve.board import Board, Cursor
from caravan.ray_serve.wire import Load, Update

from tests.clock import Clock


class Reader:
    """What one reader has heard."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.cursor = Cursor()
        self.blocks: dict[str, set[int]] = {}
        self.loads: dict[str, Load | None] = {}

    async def read(self) -> None:
        self.cursor, news = await self.board.news(self.cursor)
        for name, data in news:
            update = wire.update(data)
            blocks = self.blocks.setdefault(name, set())
            self.loads[name] = update.load or self.loads.get(name)
            for event in update.events:
                if isinstance(event, BlocksStored):
                    blocks.update(event.block_hashes)
                elif isinstance(event, BlocksRemoved):
                    blocks.difference_update(event.block_hashes)
                else:
                    blocks.clear()


def stored(*hashes: int) -> BlocksStored:
    return BlocksStored(hashes, None, (), 64)


def update(*events: BlocksStored | BlocksRemoved | AllBlocksCleared, is_whole: bool = False) -> bytes:
    return wire.encode(Update(events, Load(waiting_tokens=len(events)), is_whole=is_whole))


def test_readers_that_come_late_or_fall_behind_know_what_the_first_one_knows() -> None:
    async def test() -> None:
        rng = random.Random(3)
        board = Board()
        there: dict[str, set[int]] = {"a": set(), "b": set()}
        for name in there:
            assert await board.post(name, update(is_whole=True)) > 0
        often, seldom = Reader(board), Reader(board)
        for turn in range(9000):
            name, number = rng.choice("ab"), rng.randrange(50)
            if rng.random() < 0.5:
                await board.post(name, update(stored(number, number + 1)))
                there[name] |= {number, number + 1}
            elif rng.random() < 0.01:
                await board.post(name, update(AllBlocksCleared()))
                there[name].clear()
            else:
                await board.post(name, update(BlocksRemoved((number,))))
                there[name].discard(number)
            if turn % 7 == 0:
                await often.read()
            # More than the board keeps.
            if turn % 5000 == 0:
                await seldom.read()
        for reader in (often, seldom, Reader(board)):
            await reader.read()
            assert reader.blocks == there

    asyncio.run(test())


def test_a_reader_waits_for_news() -> None:
    async def test() -> None:
        board = Board()
        await board.post("a", update(is_whole=True))
        reader = Reader(board)
        await reader.read()
        waiting = asyncio.create_task(reader.read())
        await asyncio.sleep(0)
        assert not waiting.done()
        await board.post("a", update(stored(7)))
        await waiting
        assert reader.blocks == {"a": {7}}

    asyncio.run(test())


def test_a_board_that_does_not_know_a_replica_has_all_told_anew() -> None:
    async def test() -> None:
        board = Board()
        assert await board.post("a", update(stored(1))) == 0
        epoch = await board.post("a", update(stored(1), is_whole=True))
        assert await board.post("a", update(stored(2))) == epoch
        # Another life of the board: readers begin anew, too.
        reader = Reader(board)
        await reader.read()
        reader.board = Board()
        assert await reader.board.post("a", update(AllBlocksCleared(), stored(3), is_whole=True)) != epoch
        await reader.read()
        assert reader.blocks == {"a": {3}}

    asyncio.run(test())


def test_who_is_silent_or_leaves_is_forgotten() -> None:
    async def test() -> None:
        clock = Clock()
        board = Board(clock)
        await board.post("a", update(stored(1), is_whole=True))
        reader = Reader(board)
        await reader.read()
        clock.now += 60
        await board.post("b", update(is_whole=True))
        assert len(await board.loads()) == 1
        await reader.read()
        assert reader.blocks["a"] == set()
        assert reader.loads["a"] == Load(is_ready=False)
        await board.leave("b")
        assert await board.loads() == []

    asyncio.run(test())
