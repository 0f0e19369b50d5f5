"""The outputs of a run's requests as one stream."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence

import msgspec

from caravan.engine.outputs import TokenOutput

# Requests about one prompt that one run has in the engine at a time: others find places there, too.
_FEW = 3

Outputs = AsyncGenerator[TokenOutput, None]


async def merged(streams: Sequence[Outputs], num_choices: int, *, shares_prompt: bool) -> Outputs:
    """Merge the outputs as they come; choices are numbered through all prompts.

    The first failure ends all. Nothing is begun before the first output is asked for. Where all have one
    prompt, the others begin when the first has computed it, a few at a time.
    """
    queue: asyncio.Queue[TokenOutput | Exception | None] = asyncio.Queue()
    is_computed = asyncio.Event()
    places = asyncio.Semaphore(_FEW if shares_prompt else len(streams))

    async def pump(stream: Outputs, base: int) -> None:
        try:
            async with contextlib.aclosing(stream), places:
                if shares_prompt and base:
                    await is_computed.wait()
                async for output in stream:
                    is_computed.set()
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
