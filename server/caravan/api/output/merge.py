"""Outputs of several prompts as those of one run."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence

import msgspec

from caravan.engine.outputs import TokenOutput

Outputs = AsyncGenerator[TokenOutput, None]


def merged(streams: Sequence[Outputs], num_choices: int) -> Outputs:
    """Outputs as they come, the choices of each prompt numbered after those of the prompts before it.

    The first failure ends all. Nothing is begun before the first output is asked for.
    """
    return streams[0] if len(streams) == 1 else _merged(streams, num_choices)


async def _merged(streams: Sequence[Outputs], num_choices: int) -> Outputs:
    queue: asyncio.Queue[TokenOutput | Exception | None] = asyncio.Queue()

    async def pump(stream: Outputs, base: int) -> None:
        try:
            async with contextlib.aclosing(stream):
                async for output in stream:
                    queue.put_nowait(msgspec.structs.replace(output, index=base + output.index))
            queue.put_nowait(None)
        except Exception as error:
            queue.put_nowait(error)

    pumps = [asyncio.create_task(pump(s, i * num_choices)) for i, s in enumerate(streams)]
    running = len(pumps)
    try:
        while running:
            item = await queue.get()
            if isinstance(item, Exception):
                raise item
            if item is None:
                running -= 1
            else:
                yield item
    finally:
        for task in pumps:
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
