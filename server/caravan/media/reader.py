"""Images and sounds of a request: taken out of it or fetched, and given to the model's encoder."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from caravan.auth.principal import Principal
from caravan.errors import EngineFailedError, InvalidValueError, OverloadedError
from caravan.media.data_urls import data_of_url, decoded
from caravan.media.fetching import ImageFetcher
from caravan.media.values import (
    EncodedMedia,
    Kind,
    MediaBusyError,
    MediaEncoder,
    MediaFailedError,
    MediaInput,
    MediaRefusedError,
)
from caravan.runtime.threads import cancel_and_wait, in_thread, to_the_end

# Of one request: more would only wait for each other in the encoder, with their bytes in memory.
_AT_ONCE = 4
_RETRY_SECONDS = 5


@dataclass(frozen=True, kw_only=True)
class MediaSource:
    """Where one input is: the URL of an image, or a sound in Base64. Errors call it `param`."""

    kind: Kind
    source: str
    detail: Literal["auto", "low", "high"] = "auto"
    param: str


class MediaReader:
    """Reads the inputs of all requests; each may have `max_bytes` bytes."""

    def __init__(self, fetcher: ImageFetcher, max_bytes: int) -> None:
        self._fetcher = fetcher
        self._max_bytes = max_bytes

    async def read(
        self,
        sources: Sequence[MediaSource],
        encoder: MediaEncoder,
        principal: Principal,
        check: Callable[[int], None] = lambda _: None,
    ) -> list[EncodedMedia]:
        """Encode all inputs, each held for the caller. Raises CaravanError over the first that fails.

        `check` is told how many tokens all have so far; where it raises, no more are encoded.
        """
        places = asyncio.Semaphore(_AT_ONCE)
        num_tokens = 0

        async def one(source: MediaSource) -> EncodedMedia:
            nonlocal num_tokens
            async with places:
                media = await self._encoded(source, encoder, principal)
            num_tokens += media.num_tokens
            try:
                check(num_tokens)
            except BaseException:
                media.release()
                raise
            return media

        tasks = [asyncio.create_task(one(source)) for source in sources]
        try:
            return await asyncio.gather(*tasks)
        except BaseException:
            await to_the_end(_given_up(tasks))
            raise

    async def _encoded(
        self, source: MediaSource, encoder: MediaEncoder, principal: Principal
    ) -> EncodedMedia:
        param = source.param
        try:
            data = await self._data(source, principal)
            media = MediaInput(kind=source.kind, data=data, detail=source.detail)
            return await encoder.read(
                media,
                group=principal.cache_group,
                param=param,
                owner=principal.id,
                weight=principal.weight,
            )
        except MediaRefusedError as error:
            raise InvalidValueError(param, str(error).rstrip(".")) from error
        except MediaBusyError as error:
            message = f"Too many images wait to be read at the moment: {error}".rstrip(": ")
            raise OverloadedError(message, param=param, retry_after=_RETRY_SECONDS) from error
        except MediaFailedError as error:
            raise EngineFailedError(f"'{param}' could not be read: {error}.", param=param) from error

    async def _data(self, source: MediaSource, principal: Principal) -> bytes:
        if source.kind == "audio":
            return await in_thread(decoded, source.source, self._max_bytes)
        if source.source[:8].lower().startswith(("http://", "https://")):
            return await self._fetcher.fetch(source.source, self._max_bytes, principal)
        return await in_thread(data_of_url, source.source, self._max_bytes)


async def _given_up(tasks: Sequence[asyncio.Task[EncodedMedia]]) -> None:
    """End what still runs, and release what is there already."""
    # All at once: those that still run must not let others begin.
    for task in tasks:
        task.cancel()
    for task in tasks:
        await cancel_and_wait(task)
    for task in tasks:
        if not task.cancelled() and task.exception() is None:
            task.result().release()
