"""A stream's items as they come together, so that a slow reader gets fewer and larger pieces."""

import asyncio
from collections.abc import AsyncGenerator
from typing import TypeVar

T = TypeVar("T")


async def merged(stream: AsyncGenerator[T, None]) -> AsyncGenerator[list[T], None]:
    """Yield all that a stream has given since the last time, in order, and raise what it raises after that.

    Closing the generator early closes the stream.
    """
    items: list[T] = []
    news = asyncio.Event()

    async def read() -> None:
        try:
            async for item in stream:
                items.append(item)
                news.set()
        finally:
            news.set()

    reading = asyncio.create_task(read(), name="merged stream")
    try:
        while items or not reading.done():
            await news.wait()
            news.clear()
            taken = items.copy()
            items.clear()
            if taken:
                yield taken
        reading.result()
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await stream.aclose()
